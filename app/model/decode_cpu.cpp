// One token through every block of an xLSTM on a CPU: app/model/layers.py for one row, in one call.
//
// Decoding reads every weight once and computes next to nothing, so each row of weights is read in
// a straight line, one after the other. Activations, gates, cell and sums are float32 whatever the
// weights are. Compiled on first use by compiled.py, which also says what is done without it.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#endif

extern "C" {
// Torch's own threads, where it runs on libgomp: others would have to share the cores with them
// while they wait for their next work.
__attribute__((weak)) void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);
__attribute__((weak)) int omp_get_num_threads(void);

struct Matrix {          // (rows, columns), row by row
    const void* weight;  // of the kind below
    const float* scale;  // of each row; int8 only
    int64_t rows, columns, kind;
};
struct Block {
    const float *norm_mlstm, *conv, *norm_heads, *norm_ffn;  // conv: (E, K) or null
    const float *gates, *gate_bias;                          // (2 H, E), (2 H)
    Matrix qk, vo, out, up, down;
};
struct Model {
    int64_t width, blocks, heads, dk, dv, inner, kernel;
    float norm_eps, eps, gate_cap;  // gate_cap 0: none
    const float* norm;              // the last one, or null
    Matrix embedding, head;
    const Block* block;
};
struct State {  // of one block; window: (K - 1, E)
    float *c, *n, *m, *window;
};
}

namespace {

enum { FLOAT32, BFLOAT16, INT8 };
constexpr float LOWEST_M = -80, LARGEST_I = 1e30f;  // as in app/kernels/state.py
constexpr int AHEAD = 2048;                         // bytes; a row is too short to be foreseen

#if defined(__AVX512F__)
using V = __m512;
constexpr int W = 16;
inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline V load(const uint16_t* p) {
    const auto bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
inline V load(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
}
inline V add(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline float total(V a, V b, V c, V d) {
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}
#elif defined(__AVX2__) && defined(__FMA__)
using V = __m256;
constexpr int W = 8;
inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline V load(const uint16_t* p) {
    const auto bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}
inline V load(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
inline V add(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline float total(V a, V b, V c, V d) {
    const V sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
#else
constexpr int W = 8;
struct V {
    float v[W];
};
inline float widened(float x) { return x; }
inline float widened(int8_t x) { return x; }
inline float widened(uint16_t x) {
    const uint32_t bits = uint32_t(x) << 16;
    float y;
    std::memcpy(&y, &bits, 4);
    return y;
}
template <class T>
inline V load(const T* p) {
    V a;
    for (int j = 0; j < W; j++) a.v[j] = widened(p[j]);
    return a;
}
inline V add(V a, V b, V c) {
    for (int j = 0; j < W; j++) c.v[j] += a.v[j] * b.v[j];
    return c;
}
inline float total(V a, V b, V c, V d) {
    float sum = 0;
    for (int j = 0; j < W; j++) sum += (a.v[j] + b.v[j]) + (c.v[j] + d.v[j]);
    return sum;
}
#endif

template <class T>
V tail(const T* p, int64_t count) {  // fewer than W values, zeros behind them
    T padded[W] = {};
    std::memcpy(padded, p, count * sizeof(T));
    return load(padded);
}

template <class T>
float dot(const T* w, const float* x, int64_t count) {
    V a[4] = {};
    int64_t k = 0;
    for (; k + 4 * W <= count; k += 4 * W) {
        __builtin_prefetch((const char*)(w + k) + AHEAD);
        for (int j = 0; j < 4; j++) a[j] = add(load(w + k + j * W), load(x + k + j * W), a[j]);
    }
    for (; k + W <= count; k += W) a[0] = add(load(w + k), load(x + k), a[0]);
    if (k < count) a[1] = add(tail(w + k, count - k), tail(x + k, count - k), a[1]);
    return total(a[0], a[1], a[2], a[3]);
}

float row(const Matrix& m, int64_t r, const float* x) {
    const int64_t at = r * m.columns;
    if (m.kind == INT8) return dot((const int8_t*)m.weight + at, x, m.columns) * m.scale[r];
    if (m.kind == BFLOAT16) return dot((const uint16_t*)m.weight + at, x, m.columns);
    return dot((const float*)m.weight + at, x, m.columns);
}

float sigmoid(float u) { return 1 / (1 + std::exp(-u)); }
float capped(float u, float a) { return a > 0 ? a * std::tanh(u / a) : u; }

void rms_norm(const float* x, const float* weight, int64_t width, float eps, float* y) {
    const float root = 1 / std::sqrt(dot(x, x, width) / width + eps);
    for (int64_t e = 0; e < width; e++) y[e] = x[e] * root * weight[e];
}

// Threads of one call: they wait by spinning, as a phase takes microseconds, but not for long,
// as another program may hold the core of the one that is waited for.
struct Team {
    std::atomic<int> size{1}, joined{0}, arrived{0}, round{0};
    std::vector<std::atomic<int64_t>> next;

    explicit Team(int64_t phases) : next(phases) {}

    void wait() {
        const int seen = round.load(std::memory_order_acquire);
        if (arrived.fetch_add(1) == size - 1) {
            arrived = 0;
            round.store(seen + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round.load(std::memory_order_acquire) == seen; spins++) {
            if (spins > 20000) std::this_thread::yield();
        }
    }

    // f(i) for 0 <= i < count, each by whichever thread comes first; then all wait.
    template <class F>
    void share(int64_t phase, int64_t count, int64_t step, F f) {
        for (int64_t from; (from = next[phase].fetch_add(step)) < count;) {
            for (int64_t i = from; i < std::min(count, from + step); i++) f(i);
        }
        wait();
    }
};

struct Scratch {  // what the threads hand each other
    std::vector<float> x, qk, vo, gates, mixed, inner;
};

void convolve(const Model& m, const float* weight, State before, State after, const float* y,
              float* z, bool keep) {
    const int64_t past = m.kernel - 1;
    for (int64_t e = 0; e < m.width; e++) {
        float sum = y[e] * weight[e * m.kernel + past];
        for (int64_t j = 0; j < past; j++)
            sum += before.window[j * m.width + e] * weight[e * m.kernel + j];
        z[e] = sum;
    }
    if (!keep || past == 0) return;
    std::memcpy(after.window, before.window + m.width, (past - 1) * m.width * sizeof(float));
    std::memcpy(after.window + (past - 1) * m.width, y, m.width * sizeof(float));
}

// One head: the step of app/kernels/recurrent.py, its norm and its output gate.
void cell(const Model& m, const Block& b, int64_t head, State before, State after, Scratch& s) {
    const int64_t dk = m.dk, dv = m.dv;
    const float *q = &s.qk[head * dk], *k = &s.qk[(m.heads + head) * dk];
    const float *v = &s.vo[head * dv], *o = &s.vo[(m.heads + head) * dv];
    const float i = std::min(s.gates[head], LARGEST_I), f = s.gates[m.heads + head];
    const float kept = std::min(f, 0.0f) - std::log1p(std::exp(-std::fabs(f))) + before.m[head];
    const float top = std::max(std::max(kept, i), LOWEST_M);
    const float decay = std::exp(kept - top), gain = std::exp(i - top);
    const float scale = 1 / std::sqrt(float(dk));
    const float *c = before.c + head * dk * dv, *n = before.n + head * dk;
    float *c_after = after.c + head * dk * dv, *n_after = after.n + head * dk;
    float *h = &s.mixed[head * dv], den = 0;
    std::fill(h, h + dv, 0.0f);
    for (int64_t d = 0; d < dk; d++) {
        const float key = k[d] * gain, query = q[d] * scale;
        n_after[d] = n[d] * decay + key;
        den += query * n_after[d];
        for (int64_t e = 0; e < dv; e++) {
            const float value = c[d * dv + e] * decay + key * v[e];
            c_after[d * dv + e] = value;
            h[e] += query * value;
        }
    }
    after.m[head] = top;
    den = std::max(std::fabs(den), std::exp(-top)) + m.eps;
    float mean = 0, square = 0;
    for (int64_t e = 0; e < dv; e++) mean += h[e] /= den;
    mean /= dv;
    for (int64_t e = 0; e < dv; e++) square += (h[e] - mean) * (h[e] - mean);
    const float root = 1 / std::sqrt(square / dv + m.norm_eps);
    for (int64_t e = 0; e < dv; e++)
        h[e] = (h[e] - mean) * root * b.norm_heads[head * dv + e] * sigmoid(o[e]);
}

void read(const Model& m, const State* before, State* after, float* logits, Scratch& s, Team& team,
          bool first) {
    constexpr int64_t ROWS = 32;  // a thread's share at a time
    std::vector<float> y(m.width), z(m.width);
    int64_t phase = 0;
    for (int64_t l = 0; l < m.blocks; l++) {
        const Block& b = m.block[l];
        rms_norm(s.x.data(), b.norm_mlstm, m.width, m.norm_eps, y.data());
        const float* past = y.data();
        if (b.conv) {
            convolve(m, b.conv, before[l], after[l], y.data(), z.data(), first);
            past = z.data();
        }
        const int64_t qk = b.qk.rows, vo = qk + b.vo.rows;
        team.share(phase++, vo + 2 * m.heads, ROWS, [&](int64_t r) {
            if (r < qk) {
                s.qk[r] = row(b.qk, r, past);
            } else if (r < vo) {
                s.vo[r - qk] = row(b.vo, r - qk, y.data());
            } else {
                const float u = dot(b.gates + (r - vo) * m.width, y.data(), m.width);
                s.gates[r - vo] = capped(u + b.gate_bias[r - vo], m.gate_cap);
            }
        });
        team.share(phase++, m.heads, 1, [&](int64_t h) { cell(m, b, h, before[l], after[l], s); });
        team.share(phase++, m.width, ROWS,
                   [&](int64_t r) { s.x[r] += row(b.out, r, s.mixed.data()); });
        rms_norm(s.x.data(), b.norm_ffn, m.width, m.norm_eps, y.data());
        team.share(phase++, m.inner, ROWS, [&](int64_t r) {
            const float gate = row(b.up, r, y.data()), up = row(b.up, m.inner + r, y.data());
            s.inner[r] = gate * sigmoid(gate) * up;
        });
        team.share(phase++, m.width, ROWS,
                   [&](int64_t r) { s.x[r] += row(b.down, r, s.inner.data()); });
    }
    const float* last = s.x.data();
    if (m.norm) {
        rms_norm(last, m.norm, m.width, m.norm_eps, y.data());
        last = y.data();
    }
    team.share(phase++, m.head.rows, ROWS, [&](int64_t r) { logits[r] = row(m.head, r, last); });
}

}  // namespace

// Read `token` from the states `before` of all blocks; writes those after it and the logits (V),
// which are not capped.
extern "C" void decode_step(const Model* model, int64_t token, const State* before, State* after,
                            float* logits, int threads) {
    const Model& m = *model;
    Scratch s;
    s.x.resize(m.width);
    s.qk.resize(2 * m.heads * m.dk);
    s.vo.resize(2 * m.heads * m.dv);
    s.gates.resize(2 * m.heads);
    s.mixed.resize(m.heads * m.dv);
    s.inner.resize(m.inner);
    for (int64_t e = 0; e < m.width; e++) {  // one row of the table, widened
        const int64_t at = token * m.width + e;
        const Matrix& t = m.embedding;
        if (t.kind == INT8) s.x[e] = ((const int8_t*)t.weight)[at] * t.scale[token];
        if (t.kind == FLOAT32) s.x[e] = ((const float*)t.weight)[at];
        if (t.kind == BFLOAT16) {
            const uint32_t bits = uint32_t(((const uint16_t*)t.weight)[at]) << 16;
            std::memcpy(&s.x[e], &bits, 4);
        }
    }
    Team team(5 * m.blocks + 1);
    auto work = [&] { read(m, before, after, logits, s, team, team.joined.fetch_add(1) == 0); };
    if (GOMP_parallel && omp_get_num_threads) {
        auto all = [&] {
            team.size = omp_get_num_threads();
            work();
        };
        GOMP_parallel([](void* f) { (*static_cast<decltype(all)*>(f))(); }, &all, threads, 0);
        return;
    }
    std::atomic<bool> go{false};
    std::vector<std::thread> helpers;
    try {
        for (int t = 1; t < threads; t++) {
            helpers.emplace_back([&] {
                while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
                work();
            });
        }
    } catch (const std::system_error&) {  // no more threads to be had: as many as there are
    }
    team.size = int(helpers.size()) + 1;
    go.store(true, std::memory_order_release);
    work();
    for (auto& helper : helpers) helper.join();
}

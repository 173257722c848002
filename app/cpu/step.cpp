// One token through every block of an xLSTM on a CPU: app/model/layers.py for one row, in one call.
//
// Decoding reads every weight once and computes next to nothing, so each row of weights is read in
// a straight line, one after the other. Activations, gates, cell and sums are float32 whatever the
// weights are. Compiled on first use by library.py, which also says what is done without it.

#include "model.h"
#include "vectors.h"

namespace {

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define DIGITS 1  // four products of bytes at once in each of 16 sums
#else
#define DIGITS 0
#endif

// What weights are multiplied with. Beside int8 weights it is rounded to whole numbers of three
// signed bytes, as fine as float32 is near the largest; products and sums of these are exact.
struct Input {
    const float* x;
    int64_t count, stride;
    std::vector<int8_t> digits;  // (3, stride), lowest first
    double unit;                 // what 1 stands for
    int64_t sum;                 // of the whole numbers

    explicit Input(int64_t most) : digits(3 * ((most + 63) / 64 * 64)) {}

    void set(const float* values, int64_t number) {
        x = values, count = number, stride = (number + 63) / 64 * 64;
#if DIGITS
        __m512 top = _mm512_setzero_ps();
        for (int64_t e = 0; e < count; e += 16) {
            const int64_t left = count - e;
            const __mmask16 some = left >= 16 ? 0xffff : (1 << left) - 1;
            top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(some, x + e)));
        }
        const float most = _mm512_reduce_max_ps(top);
        // Three signed bytes end at 127 * (1 + 256 + 65536); below 1e-30 all is nothing.
        const __m512 up = _mm512_set1_ps(most > 1e-30f ? 8.3e6f / most : 0.0f);
        unit = most / 8.3e6;
        __m512i total = _mm512_setzero_si512();
        int8_t* at = &digits[0];
        for (int64_t e = 0; e < stride; e += 16) {
            const int64_t left = count - e;
            const __mmask16 some = left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1;
            __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(some, x + e), up));
            total = _mm512_add_epi64(total, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(q)));
            total = _mm512_add_epi64(total, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(q, 1)));
            for (int d = 0; d < 3; d++) {
                const __m128i low = _mm512_cvtepi32_epi8(q);
                _mm_storeu_si128((__m128i*)(at + d * stride + e), low);
                q = _mm512_srai_epi32(_mm512_sub_epi32(q, _mm512_cvtepi8_epi32(low)), 8);
            }
        }
        sum = _mm512_reduce_add_epi64(total);
#endif
    }
};

#if DIGITS
// Weights are taken as w + 128, which has no sign, and 128 times the digits is taken off.
inline float dot_digits(const int8_t* w, const Input& in) {
    __m512i a[3] = {};
    const __m512i flip = _mm512_set1_epi8(-128);
    const int8_t* p = in.digits.data();
    int64_t k = 0;
    for (; k + 64 <= in.count; k += 64) {
        fetch(w + k);
        const __m512i u = _mm512_xor_si512(_mm512_loadu_si512(w + k), flip);
        for (int d = 0; d < 3; d++)
            a[d] = _mm512_dpbusd_epi32(a[d], u, _mm512_loadu_si512(p + d * in.stride + k));
    }
    if (k < in.count) {
        const __mmask64 some = (~0ull) >> (64 - (in.count - k));
        const __m512i u = _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, w + k), flip);
        for (int d = 0; d < 3; d++)
            a[d] = _mm512_dpbusd_epi32(a[d], u, _mm512_loadu_si512(p + d * in.stride + k));
    }
    const int64_t whole = _mm512_reduce_add_epi32(a[0]) + 256ll * _mm512_reduce_add_epi32(a[1]) +
                          65536ll * _mm512_reduce_add_epi32(a[2]);
    return (whole - 128 * in.sum) * in.unit;
}
#endif

float row(const Matrix& m, int64_t r, const Input& in) {
    const int64_t at = r * m.columns;
#if DIGITS
    if (m.kind == INT8) return dot_digits((const int8_t*)m.weight + at, in) * m.scale[r];
#endif
    if (m.kind == INT8) return dot((const int8_t*)m.weight + at, in.x, m.columns) * m.scale[r];
    if (m.kind == BFLOAT16) return dot((const uint16_t*)m.weight + at, in.x, m.columns);
    return dot((const float*)m.weight + at, in.x, m.columns);
}

struct Scratch {  // what the threads hand each other
    std::vector<float> x, qk, vo, gates, mixed, inner;
};

void convolve(const Model& m, const float* weight, State before, State after, const float* y,
              float* z, bool keep) {
    const int64_t past = m.kernel - 1;
    int64_t e = 0;
#if defined(__AVX512F__)
    const __m512i taps = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(m.kernel));
    const auto tap = [&](int64_t j) {  // j of 16 channels
        return _mm512_i32gather_ps(taps, weight + e * m.kernel + j, 4);
    };
    for (; e + W <= m.width; e += W) {
        V sum = _mm512_mul_ps(load(y + e), tap(past));
        for (int64_t j = 0; j < past; j++)
            sum = add(load(before.window + j * m.width + e), tap(j), sum);
        _mm512_storeu_ps(z + e, sum);
    }
#endif
    for (; e < m.width; e++) {
        float sum = y[e] * weight[e * m.kernel + past];
        for (int64_t j = 0; j < past; j++)
            sum += before.window[j * m.width + e] * weight[e * m.kernel + j];
        z[e] = sum;
    }
    if (!keep || past == 0) return;
    std::memcpy(after.window, before.window + m.width, (past - 1) * m.width * sizeof(float));
    std::memcpy(after.window + (past - 1) * m.width, y, m.width * sizeof(float));
}

// A row of C, and what it adds to h. The row is not read again before others have filled the cache:
// where it can be, it is written past it.
void update(const float* c, float decay, float key, const float* v, float query, int64_t dv,
            float* after, float* h) {
    int64_t e = 0;
#if defined(__AVX512F__)
    if ((uintptr_t)after % 64 == 0) {
        const V d = _mm512_set1_ps(decay), k = _mm512_set1_ps(key), q = _mm512_set1_ps(query);
        for (; e + W <= dv; e += W) {
            fetch(c + e);
            const V value = add(load(c + e), d, _mm512_mul_ps(k, load(v + e)));
            _mm512_stream_ps(after + e, value);
            _mm512_storeu_ps(h + e, add(q, value, load(h + e)));
        }
    }
#endif
    for (; e < dv; e++) {
        after[e] = c[e] * decay + key * v[e];
        h[e] += query * after[e];
    }
}

// One head: the step of app/kernels/recurrent.py, its norm and its output gate.
void cell(const Model& m, const Block& b, int64_t head, State before, State after, Scratch& s) {
    const int64_t dk = m.dk, dv = m.dv;
    const float *q = &s.qk[head * dk], *k = &s.qk[(m.heads + head) * dk];
    const float *v = &s.vo[head * dv], *o = &s.vo[(m.heads + head) * dv];
    const float i = std::min(s.gates[head], LARGEST_I);
    const float kept = log_sigmoid(s.gates[m.heads + head]) + before.m[head];
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
        update(c + d * dv, decay, key, v, query, dv, c_after + d * dv, h);
    }
#if defined(__AVX512F__)
    _mm_sfence();  // such writes are not ordered by what the threads wait for
#endif
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
          int number) {
    std::vector<float> y(m.width), z(m.width);
    Input one(std::max(m.width, std::max(m.inner, m.heads * m.dv))), two(m.width);
    int64_t phase = 0;
    const auto each = [&](int64_t count, auto f) { team.stretch(phase++, number, count, 16, f); };
    for (int64_t l = 0; l < m.blocks; l++) {
        const Block& b = m.block[l];
        rms_norm(s.x.data(), b.norm_mlstm, m.width, m.norm_eps, y.data());
        one.set(y.data(), m.width);
        if (b.conv) {
            convolve(m, b.conv, before[l], after[l], y.data(), z.data(), number == 0);
            two.set(z.data(), m.width);
        }
        const Input& past = b.conv ? two : one;
        const int64_t qk = b.qk.rows, vo = qk + b.vo.rows;
        each(vo + 2 * m.heads, [&](int64_t r) {
            if (r < qk) {
                s.qk[r] = row(b.qk, r, past);
            } else if (r < vo) {
                s.vo[r - qk] = row(b.vo, r - qk, one);
            } else {
                const float u = dot(b.gates + (r - vo) * m.width, y.data(), m.width);
                s.gates[r - vo] = capped(u + b.gate_bias[r - vo], m.gate_cap);
            }
        });
        team.share(phase++, m.heads, 1, [&](int64_t h) { cell(m, b, h, before[l], after[l], s); });
        one.set(s.mixed.data(), m.heads * m.dv);
        each(m.width, [&](int64_t r) { s.x[r] += row(b.out, r, one); });
        rms_norm(s.x.data(), b.norm_ffn, m.width, m.norm_eps, y.data());
        one.set(y.data(), m.width);
        each(m.inner, [&](int64_t r) {
            const float gate = row(b.up, r, one), up = row(b.up, m.inner + r, one);
            s.inner[r] = gate * sigmoid(gate) * up;
        });
        one.set(s.inner.data(), m.inner);
        each(m.width, [&](int64_t r) { s.x[r] += row(b.down, r, one); });
    }
    const float* last = s.x.data();
    if (m.norm) {
        rms_norm(last, m.norm, m.width, m.norm_eps, y.data());
        last = y.data();
    }
    one.set(last, m.width);
    each(m.head.rows, [&](int64_t r) { logits[r] = row(m.head, r, one); });
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
    embed(m.embedding, token, s.x.data());
    Team team(5 * m.blocks + 1, threads);
    team.run([&](int number) { read(m, before, after, logits, s, team, number); });
}

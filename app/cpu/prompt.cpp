// Many tokens through every block of an xLSTM on a CPU: app/model/layers.py, rows of any lengths.
//
// For CPUs that multiply bfloat16 in vectors but not in matrices. Weights are widened to bfloat16
// panel by panel, from wherever they lie; what they are multiplied with is rounded to bfloat16;
// sums, norms, gates, cell, states and the residual stream are float32.

#include "model.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && !defined(__AMX_BF16__)
#include "head.h"

namespace {

struct Span {  // tokens [from, to) of the row of `count` tokens that begins at `start` of all
    int64_t row, start, count, from, to;
};

// Norm, gates, convolution.
void before_cell(const Model& m, const Block& b, const Span& span, const float* x, State before,
                 State after, const Work& w) {
    const int64_t width = m.width, past = m.kernel ? m.kernel - 1 : 0, from = span.from;
    Rows<float> y(span.to - from + past, width), taps(m.kernel, width);
    std::vector<float> z(width);
    for (int64_t j = 0; j < m.kernel; j++)
        for (int64_t e = 0; e < width; e++) taps[j][e] = b.conv[e * m.kernel + j];
    for (int64_t t = from - past; t < span.to; t++) {
        float* here = y[t - from + past];
        const int64_t at = span.start + t, left = t - span.count + past;
        if (t < 0)
            std::copy_n(before.window + (t + past) * width, width, here);
        else
            rms_norm(x + at * width, b.norm_mlstm, width, m.norm_eps, here);
        if (after.window && left >= 0 && (t >= from || (from == 0 && t < 0)))
            std::copy_n(here, width, after.window + left * width);
        if (t < from) continue;
        to_bfloat16(here, width, w.y[at]);
        for (int64_t g = 0; g < 2 * m.heads; g++)
            w.gates[at][g] =
                capped(dot(b.gates + g * width, here, width) + b.gate_bias[g], m.gate_cap);
        if (!b.conv) continue;
        for (int64_t e = 0; e < width; e++) z[e] = here[e] * taps[past][e];
        for (int64_t j = 0; j < past; j++)
            for (int64_t e = 0; e < width; e++) z[e] += y[t - from + j][e] * taps[j][e];
        to_bfloat16(z.data(), width, w.z[at]);
    }
}

// One thread's part of reading all tokens.
struct Reader : Products {
    const Model& m;
    const std::vector<Span>&rows, &spans;  // whole rows, and what is taken of them at a time
    float* x;                              // (tokens, E), the residual stream
    const Work& w;

    void feed_forward(const Block& b) {
        team.share(phase++, count, 32, [&](int64_t t) {
            std::vector<float> y(m.width);
            rms_norm(x + t * m.width, b.norm_ffn, m.width, m.norm_eps, y.data());
            to_bfloat16(y.data(), m.width, w.y[t]);
        });
        constexpr int HALF = GROUPS / 2;  // of a panel for gates, the other for what they close
        by_panels(2 * padded(m.inner, PANEL / 2), [&](int64_t i, int64_t from, int64_t to) {
            const int64_t row = i * PANEL / 2;
            for (int g = 0; g < HALF; g++) {
                const int64_t at = std::min(row + g * VECTOR, m.inner);
                panel.fill(g, b.up, at, m.inner, 0, m.width);
                panel.fill(g + HALF, b.up, m.inner + at, 2 * m.inner, 0, m.width);
            }
            panel.times(w.y[0], w.y.stride, from, to, m.width, [&](int64_t t, __m512* y) {
                for (int g = 0; g < HALF; g++) {
                    const auto z = _mm512_mul_ps(_mm512_mul_ps(y[g], sigmoid(y[g])), y[g + HALF]);
                    const int64_t at = row + g * VECTOR;
                    _mm256_mask_storeu_epi16(w.inner[t] + at, first(m.inner - at),
                                             (__m256i)_mm512_cvtneps_pbh(z));
                }
            });
        });
        add(b.down, w.inner, x);
    }

    // The states of row r, of which `before` may have but one for all; none where none is kept.
    State of(const State* states, int64_t l, int64_t r) const {
        if (!states) return {};
        const State s = states[l];
        const int64_t keys = m.heads * m.dk, past = m.kernel ? m.kernel - 1 : 0;
        return {s.c + r * keys * m.dv, s.n + r * keys, s.m + r * m.heads,
                s.window ? s.window + r * past * m.width : nullptr};
    }

    void read(const State* before, bool shared, const State* after) {
        for (int64_t l = 0; l < m.blocks; l++) {
            const Block& b = m.block[l];
            const auto first = [&](int64_t row) { return of(before, l, shared ? 0 : row); };
            team.share(phase++, spans.size(), 1, [&](int64_t i) {
                const int64_t row = spans[i].row;
                before_cell(m, b, spans[i], x, first(row), of(after, l, row), w);
            });
            const int64_t qk = padded(b.qk.rows, PANEL);
            by_panels(qk + b.vo.rows, [&](int64_t i, int64_t from, int64_t to) {
                if (i * PANEL < qk)
                    project(b.qk, i, from, to, b.conv ? w.z : w.y, w.qk[0], w.qk.stride);
                else
                    project(b.vo, i - qk / PANEL, from, to, w.y, w.vo[0], w.vo.stride);
            });
            team.share(phase++, rows.size() * m.heads, 1, [&](int64_t i) {
                const Span& r = rows[i / m.heads];
                Head head(m, i % m.heads, first(r.row));
                for (int64_t t = 0; t < r.count; t += CHUNK) {
                    const bool last = t + CHUNK >= r.count;
                    head.read(b, w, r.start + t, std::min(CHUNK, r.count - t), after || !last);
                }
                if (after) head.leave(of(after, l, r.row));
            });
            add(b.out, w.mixed, x);
            feed_forward(b);
        }
    }
};

}  // namespace

// Read rows of tokens, one behind the other, from the states `before` of all blocks, or from one
// `shared` by all rows; writes those after them, unless `after` is null, and the residual stream x
// (all tokens, E). Weights are int8 or bfloat16.
extern "C" void read_prompts(const Model* model, const int64_t* tokens, const int64_t* lengths,
                             int64_t number, const State* before, int shared, const State* after,
                             float* x, int threads) {
    const Model& m = *model;
    const int64_t both = m.heads * m.dv;
    constexpr int64_t EACH = 32;
    std::vector<Span> rows, spans;
    int64_t count = 0;
    for (int64_t r = 0; r < number; count += lengths[r++]) {
        rows.push_back({r, count, lengths[r], 0, lengths[r]});
        // an empty row once: its window is carried over
        for (int64_t t = 0; t == 0 || t < lengths[r]; t += EACH)
            spans.push_back({r, count, lengths[r], t, std::min(t + EACH, lengths[r])});
    }
    for (int64_t t = 0; t < count; t++) embed(m.embedding, tokens[t], x + t * m.width);
    const Work w{{count, m.width, 32}, {m.kernel ? count : 0, m.width, 32}, {count, both, 32},
                 {count, m.inner, 32}, {count, 2 * m.heads * m.dk},         {count, 2 * both},
                 {count, 2 * m.heads}};
    Team team(7 * m.blocks, threads);
    team.run([&](int) {
        Reader{{team, count}, m, rows, spans, x, w}.read(before, shared, after);
    });
}
extern "C" int reads_prompts() { return 1; }
#else
extern "C" void read_prompts(const Model*, const int64_t*, const int64_t*, int64_t, const State*,
                             int, const State*, float*, int) {}
extern "C" int reads_prompts() { return 0; }
#endif

// A BERT encoder over texts of any lengths on a CPU (Devlin et al. 2019): attention, then the
// feed-forward layer with GELU, each added to its input and normed after it.
//
// As in prompt.cpp products with weights take bfloat16 and all else is float32, and it is for the
// same CPUs. Texts lie behind one another: nothing is padded.

#include "model.h"

extern "C" {
struct EncoderLayer {
    Linear query, key, value, out, up, down;
    const float *norm1, *bias1, *norm2, *bias2;  // after attention; after the feed-forward layer
};
struct Encoder {
    int64_t width, layers, heads, inner;
    float eps;
    const EncoderLayer* layer;
};
}

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && !defined(__AMX_BF16__)
#include "products.h"

namespace {

// x / 2 (1 + erf(x / sqrt 2)); erf to 2e-7 by Abramowitz and Stegun 7.1.26.
__m512 gelu(__m512 x) {
    const auto all = [](float a) { return _mm512_set1_ps(a); };
    const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), all(0.70710678f));
    const __m512 t = _mm512_div_ps(all(1), _mm512_fmadd_ps(all(0.3275911f), z, all(1)));
    __m512 p = all(1.061405429f);
    for (const float a : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f})
        p = _mm512_fmadd_ps(p, t, all(a));
    p = _mm512_mul_ps(_mm512_mul_ps(p, t), exp(_mm512_fnmadd_ps(z, z, _mm512_setzero_ps())));
    const __m512 rest = _mm512_mul_ps(_mm512_mul_ps(p, _mm512_abs_ps(x)), all(0.5f));
    return _mm512_sub_ps(_mm512_max_ps(x, _mm512_setzero_ps()), rest);
}

struct Work {
    const Halves &y, &mixed, &inner;  // layers' inputs; heads' outputs; inside the feed-forward
    const Rows<float>& qkv;           // queries, keys, values
};

// One head of one text: `count` rows of q, k, v, `stride` apart -> rows of bfloat16.
void attend(const float* q, int64_t stride, int64_t width, int64_t dh, int64_t count,
            uint16_t* mixed, int64_t wide) {
    constexpr int HALF = GROUPS / 2;
    const int64_t most = padded(count, PANEL);
    Rows<float> keys(padded(dh, VECTOR), most), values(count, dh, HALF * VECTOR), p(TILE, most);
    turn(q + width, stride, count, dh, keys[0], most);
    for (int64_t t = 0; t < count; t++) std::copy_n(q + 2 * width + t * stride, dh, values[t]);
    const __m512 scale = _mm512_set1_ps(1 / std::sqrt(float(dh)));
    by_tiles(0, count, [&](auto rows, int64_t t) {
        constexpr int R = rows;
        __m512 share[R], top[R];
        for (int r = 0; r < R; r++) top[r] = _mm512_set1_ps(-3e38f);
        for (int64_t j = 0; j < most; j += PANEL) {
            __m512 acc[R][GROUPS] = {};
            multiply<false>(acc, {q + t * stride, stride, 1}, keys[0] + j, most, dh);
            for (int r = 0; r < R; r++) {
                for (int g = 0; g < GROUPS; g++) {
                    const int64_t at = j + g * VECTOR;
                    top[r] = _mm512_mask_max_ps(top[r], first(count - at), top[r], acc[r][g]);
                    _mm512_storeu_ps(p[r] + at, acc[r][g]);
                }
            }
        }
        for (int r = 0; r < R; r++) {
            const __m512 most_of_row = _mm512_set1_ps(_mm512_reduce_max_ps(top[r]));
            __m512 sum = _mm512_setzero_ps();
            for (int64_t j = 0; j < count; j += VECTOR) {
                const __m512 off = _mm512_sub_ps(_mm512_loadu_ps(p[r] + j), most_of_row);
                const __m512 all = exp(_mm512_mul_ps(off, scale));
                const __m512 e = _mm512_maskz_mov_ps(first(count - j), all);
                sum = _mm512_add_ps(sum, e);
                _mm512_storeu_ps(p[r] + j, e);
            }
            share[r] = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum));
        }
        for (int64_t e = 0; e < dh; e += HALF * VECTOR) {
            __m512 acc[R][HALF] = {};
            multiply<false>(acc, {p[0], most, 1}, values[0] + e, values.stride, count);
            for (int r = 0; r < R; r++) {
                for (int g = 0; g < HALF; g++) {
                    const int64_t at = e + g * VECTOR;
                    const __m512 h = _mm512_mul_ps(acc[r][g], share[r]);
                    _mm256_mask_storeu_epi16(mixed + (t + r) * wide + at, first(dh - at),
                                             (__m256i)_mm512_cvtneps_pbh(h));
                }
            }
        }
    });
}

struct Reader : Products {
    const Encoder& m;
    const std::vector<int64_t>& starts;  // of the texts, and the end of the last
    float* x;                            // (tokens, width)
    const Work& w;

    void norm(const float* weight, const float* bias) {
        team.share(phase++, count, 32, [&](int64_t t) {
            float* row = x + t * m.width;
            const Moments normed(row, m.width, m.eps);
            for (int64_t e = 0; e < m.width; e += VECTOR) {
                const __mmask16 some = first(m.width - e);
                const auto at = [&](const float* p) { return _mm512_maskz_loadu_ps(some, p + e); };
                const __m512 y = _mm512_fmadd_ps(normed(at(row)), at(weight), at(bias));
                _mm512_mask_storeu_ps(row + e, some, y);
            }
            to_bfloat16(row, m.width, w.y[t]);
        });
    }

    void feed_forward(const Linear& up) {
        const int64_t rows = up.matrix.rows;
        by_panels(rows, [&](int64_t i, int64_t from, int64_t to) {
            fill(up.matrix, i * PANEL, 0, m.width);
            panel.times(w.y[0], w.y.stride, from, to, m.width, [&](int64_t t, __m512* row) {
                for (int g = 0; g < GROUPS; g++) {
                    const int64_t at = i * PANEL + g * VECTOR;
                    const __mmask16 some = first(rows - at);
                    const __m512 bias = _mm512_maskz_loadu_ps(some, up.bias + at);
                    const __m512 u = _mm512_add_ps(row[g], bias);
                    _mm256_mask_storeu_epi16(w.inner[t] + at, some,
                                             (__m256i)_mm512_cvtneps_pbh(gelu(u)));
                }
            });
        });
    }

    void read() {
        const int64_t texts = starts.size() - 1, dh = m.width / m.heads;
        const int64_t each = padded(m.width, PANEL);
        team.share(phase++, count, 32,
                   [&](int64_t t) { to_bfloat16(x + t * m.width, m.width, w.y[t]); });
        for (int64_t l = 0; l < m.layers; l++) {
            const EncoderLayer& b = m.layer[l];
            by_panels(3 * each, [&](int64_t i, int64_t from, int64_t to) {
                const int64_t part = i * PANEL / each;
                const Linear& a = part == 0 ? b.query : part == 1 ? b.key : b.value;
                project(a.matrix, i - part * each / PANEL, from, to, w.y, w.qkv[0] + part * m.width,
                        w.qkv.stride, a.bias);
            });
            team.share(phase++, texts * m.heads, 1, [&](int64_t i) {
                const int64_t text = i / m.heads, at = i % m.heads * dh, start = starts[text];
                attend(w.qkv[start] + at, w.qkv.stride, m.width, dh, starts[text + 1] - start,
                       w.mixed[start] + at, w.mixed.stride);
            });
            add(b.out.matrix, w.mixed, x, b.out.bias);
            norm(b.norm1, b.bias1);
            feed_forward(b.up);
            add(b.down.matrix, w.inner, x, b.down.bias);
            norm(b.norm2, b.bias2);
        }
    }
};

}  // namespace

// Texts of `lengths` tokens, one behind the other: x (all tokens, width) holds the normed sums of
// their embeddings and then the last layer's outputs. Weights are bfloat16, the rest float32.
extern "C" void encode_texts(const Encoder* encoder, const int64_t* lengths, int64_t texts,
                             float* x, int threads) {
    const Encoder& m = *encoder;
    std::vector<int64_t> starts{0};
    for (int64_t n = 0; n < texts; n++) starts.push_back(starts.back() + lengths[n]);
    const int64_t count = starts.back();
    const Halves y(count, m.width, 32), mixed(count, m.width, 32), inner(count, m.inner, 32);
    const Rows<float> qkv(count, 3 * m.width);
    const Work w{y, mixed, inner, qkv};
    Team team(1 + 7 * m.layers, threads);
    team.run([&](int) { Reader{{team, count}, m, starts, x, w}.read(); });
}
#else
extern "C" void encode_texts(const Encoder*, const int64_t*, int64_t, float*, int) {}
#endif

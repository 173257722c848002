// Products of many rows on AVX-512: tiles of 6 rows by 64 columns that stay in registers.
//
// Weights become panels of 64 rows, turned so that a vector holds one or two columns of 16 rows:
// in bfloat16 two, which one instruction multiplies and adds to a float32 sum.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "model.h"

constexpr int64_t PANEL = 64, TILE = 6, VECTOR = 16;
constexpr int GROUPS = PANEL / VECTOR;
constexpr int64_t DEEP = 2048;  // columns of a panel: more do not stay in a core's cache

inline int64_t padded(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

template <class T>
struct Rows {  // of `width` values, `stride` apart; what is between is zero
    int64_t stride;
    std::unique_ptr<T[]> at;

    Rows(int64_t rows, int64_t width, int64_t to = 1)
        : stride(padded(width, to)), at(new T[rows * stride]) {
        for (int64_t r = 0; stride > width && r < rows; r++)
            std::fill((*this)[r] + width, (*this)[r + 1], T());
    }
    T* operator[](int64_t r) const { return at.get() + r * stride; }
};
using Halves = Rows<uint16_t>;

inline __mmask16 first(int64_t count) {  // of the 16 lanes
    return count >= VECTOR ? 0xffff : count <= 0 ? 0 : __mmask16((1 << count) - 1);
}

// e^x to about an ulp: 2^n times a polynomial of degree 6 (coefficients of Cephes) in what is left.
inline __m512 exp(__m512 x) {
    x = _mm512_min_ps(_mm512_set1_ps(89), _mm512_max_ps(_mm512_set1_ps(-110), x));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    for (const float a : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                          5.0000001201e-1f, 1.0f, 1.0f})
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(a));
    return _mm512_scalef_ps(p, n);
}
inline __m512 sigmoid(__m512 u) {
    const __m512 one = _mm512_set1_ps(1);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp(_mm512_sub_ps(_mm512_setzero_ps(), u))));
}

// 16 x 16 words: rows become columns.
inline void turn(__m512i (&a)[16]) {
    __m512i b[16];
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm512_unpacklo_epi64(b[i + j], b[i + j + 2]);
            a[i + 2 * j + 1] = _mm512_unpackhi_epi64(b[i + j], b[i + j + 2]);
        }
    }
    for (int i = 0; i < 4; i++) {  // now of each four rows; a quarter of a vector each
        b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
        b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
        b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
        b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88);
        a[i + 8] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd);
        a[i + 4] = _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0xdd);
    }
}

// y[d][t] = x[t][d] for t < rows, and 0 for rows <= t < wide; `wide` is whole vectors, and y has
// whole vectors of rows.
inline void turn(const float* x, int64_t stride, int64_t rows, int64_t columns, float* y,
                 int64_t wide) {
    for (int64_t d = 0; d < columns; d += VECTOR) {
        for (int64_t t = 0; t < wide; t += VECTOR) {
            __m512i block[16];
            for (int64_t i = 0; i < VECTOR; i++)
                block[i] = t + i < rows ? _mm512_maskz_loadu_epi32(first(columns - d),
                                                                   x + (t + i) * stride + d)
                                        : _mm512_setzero_si512();
            turn(block);
            for (int64_t i = 0; i < VECTOR; i++)
                _mm512_storeu_si512(y + (d + i) * wide + t, block[i]);
        }
    }
}

inline void to_bfloat16(const float* x, int64_t width, uint16_t* y) {
    for (int64_t e = 0; e < width; e += VECTOR) {
        const __mmask16 some = first(width - e);
        const auto half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, x + e));
        _mm256_mask_storeu_epi16(y + e, some, (__m256i)half);
    }
}

struct Moments {  // of a row: its mean, and 1 over its deviation
    __m512 mean, root;

    Moments(const float* x, int64_t width, float eps) {
        __m512 sum = _mm512_setzero_ps(), square = sum;
        for (int64_t e = 0; e < width; e += VECTOR)
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(first(width - e), x + e));
        mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / width);
        for (int64_t e = 0; e < width; e += VECTOR) {
            const __mmask16 some = first(width - e);
            const __m512 off = _mm512_maskz_sub_ps(some, _mm512_maskz_loadu_ps(some, x + e), mean);
            square = _mm512_fmadd_ps(off, off, square);
        }
        root = _mm512_set1_ps(1 / std::sqrt(_mm512_reduce_add_ps(square) / width + eps));
    }
    __m512 operator()(__m512 x) const { return _mm512_mul_ps(_mm512_sub_ps(x, mean), root); }
};

struct Left {  // the left operand: floats, or pairs of bfloat16
    const void* at;
    int64_t row, step;  // in words: from a row to the next, from a column (pair) to the next
};

// acc += left times right; a step of right is `wide` words.
template <bool PAIRS, int R>
inline void multiply(__m512 (&acc)[R][GROUPS], Left left, const void* right, int64_t wide,
                     int64_t steps) {
    const int32_t* a = (const int32_t*)left.at;
    const float* b = (const float*)right;
    for (int64_t k = 0; k < steps; k++, a += left.step, b += wide) {
        __m512 column[GROUPS];
        for (int j = 0; j < GROUPS; j++) column[j] = _mm512_loadu_ps(b + j * VECTOR);
        for (int r = 0; r < R; r++) {
            const __m512i x = _mm512_set1_epi32(a[r * left.row]);
            for (int j = 0; j < GROUPS; j++) {
                if (PAIRS)
                    acc[r][j] = _mm512_dpbf16_ps(acc[r][j], (__m512bh)x, (__m512bh)column[j]);
                else
                    acc[r][j] = _mm512_fmadd_ps(_mm512_castsi512_ps(x), column[j], acc[r][j]);
            }
        }
    }
}

// f(number of rows as a type, first row) for tiles that cover the rows [from, to).
template <class F>
inline void by_tiles(int64_t from, int64_t to, F f) {
    for (; from + TILE <= to; from += TILE) f(std::integral_constant<int, TILE>{}, from);
    if (to - from == 1) f(std::integral_constant<int, 1>{}, from);
    if (to - from == 2) f(std::integral_constant<int, 2>{}, from);
    if (to - from == 3) f(std::integral_constant<int, 3>{}, from);
    if (to - from == 4) f(std::integral_constant<int, 4>{}, from);
    if (to - from == 5) f(std::integral_constant<int, 5>{}, from);
}

// Columns [at, at + 32) of a row as 16 pairs; `left` of them are there, zeros behind them.
inline __m512i pairs(const Matrix& m, int64_t row, int64_t at, int64_t left) {
    const __mmask32 some = left >= 32 ? ~0u : (1u << left) - 1;
    const int64_t from = row * m.columns + at;
    if (m.kind == BFLOAT16)
        return _mm512_maskz_loadu_epi16(some, (const uint16_t*)m.weight + from);
    const __m256i bytes = _mm256_maskz_loadu_epi8(some, (const int8_t*)m.weight + from);
    const auto wide = [](__m128i x) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)); };
    return (__m512i)_mm512_cvtne2ps_pbh(wide(_mm256_extracti128_si256(bytes, 1)),
                                        wide(_mm256_castsi256_si128(bytes)));
}

// Room that begins where a cache line does: vectors of 64 bytes do not straddle two.
struct Aligned {
    std::vector<uint32_t> room;
    uint32_t* at = nullptr;

    void hold(int64_t words) {
        if (int64_t(room.size()) < words + VECTOR) room.resize(words + VECTOR);
        at = (uint32_t*)(((uintptr_t)room.data() + 63) / 64 * 64);
    }
};

struct Panel {                       // 64 rows of weights, bfloat16; int8 to 127 is exact in it
    Aligned words;                   // (column pairs, 64)
    float scale[PANEL];

    // Rows `from` to `to` into group g (16 columns of the panel), weights' columns [at, end).
    void fill(int g, const Matrix& m, int64_t from, int64_t to, int64_t at, int64_t end) {
        words.hold((end - at + 31) / 32 * 16 * PANEL);
        for (int i = 0; i < VECTOR; i++)
            scale[g * VECTOR + i] = m.kind == INT8 && from + i < to ? m.scale[from + i] : 1;
        for (int64_t k = at; k < end; k += 32) {
            __m512i block[16];
            for (int i = 0; i < 16; i++)
                block[i] = from + i < to ? pairs(m, from + i, k, end - k) : _mm512_setzero_si512();
            turn(block);
            uint32_t* here = words.at + (k - at) / 2 * PANEL + g * VECTOR;
            for (int i = 0; i < 16; i++) _mm512_storeu_si512(here + i * PANEL, block[i]);
        }
    }

    // store(row, the row's four vectors, scaled) for rows [from, to) of bfloat16 x times the panel.
    template <class F>
    void times(const uint16_t* x, int64_t stride, int64_t from, int64_t to, int64_t columns,
               F store) const {
        __m512 s[GROUPS];
        for (int j = 0; j < GROUPS; j++) s[j] = _mm512_loadu_ps(scale + j * VECTOR);
        by_tiles(from, to, [&](auto rows, int64_t row) {
            constexpr int R = rows;
            __m512 acc[R][GROUPS] = {};
            const Left left{x + row * stride, stride / 2, 1};
            multiply<true>(acc, left, words.at, PANEL, (columns + 1) / 2);
            for (int r = 0; r < R; r++) {
                for (int j = 0; j < GROUPS; j++) acc[r][j] = _mm512_mul_ps(acc[r][j], s[j]);
                store(row + r, acc[r]);
            }
        });
    }
};

// One thread's part in products of weights with the rows of `count` tokens.
struct Products {
    Team& team;
    const int64_t count;
    Panel panel{};
    int64_t phase = 0;

    // f(panel's number, first and last token) for the panels of `rows` weights.
    template <class F>
    void by_panels(int64_t rows, F f) {
        const int64_t panels = (rows + PANEL - 1) / PANEL;
        // several parts of the tokens only where there are few panels for each thread
        const int64_t parts = std::min((8 * team.size + panels - 1) / panels, (count + 95) / 96);
        const int64_t each = padded((count + parts - 1) / parts, TILE);
        team.share(phase++, panels * parts, 1, [&](int64_t i) {
            const int64_t from = i / panels * each;
            f(i % panels, from, std::min(from + each, count));
        });
    }

    void fill(const Matrix& a, int64_t row, int64_t at, int64_t end) {
        for (int g = 0; g < GROUPS; g++) panel.fill(g, a, row + g * VECTOR, a.rows, at, end);
    }

    // Rows [64 i, 64 i + 64) of the weights times the tokens' y.
    void project(const Matrix& a, int64_t i, int64_t from, int64_t to, const Halves& y, float* z,
                 int64_t stride) {
        fill(a, i * PANEL, 0, a.columns);
        panel.times(y.at.get(), y.stride, from, to, a.columns, [&](int64_t t, __m512* row) {
            for (int j = 0; j < GROUPS; j++) {
                const int64_t at = i * PANEL + j * VECTOR;
                const __mmask16 some = first(a.rows - at);
                _mm512_mask_storeu_ps(z + t * stride + at, some, row[j]);
            }
        });
    }

    // x (tokens, rows of the weights) += the weights times the tokens' y.
    void add(const Matrix& a, const Halves& y, float* x) {
        by_panels(a.rows, [&](int64_t i, int64_t from, int64_t to) {
            for (int64_t k = 0; k < a.columns; k += DEEP) {
                const int64_t end = std::min(k + DEEP, a.columns);
                fill(a, i * PANEL, k, end);
                panel.times(y[0] + k, y.stride, from, to, end - k, [&](int64_t t, __m512* row) {
                    for (int j = 0; j < GROUPS; j++) {
                        const int64_t at = i * PANEL + j * VECTOR;
                        const __mmask16 some = first(a.rows - at);
                        float* here = x + t * a.rows + at;
                        const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(some, here), row[j]);
                        _mm512_mask_storeu_ps(here, some, sum);
                    }
                });
            }
        });
    }
};

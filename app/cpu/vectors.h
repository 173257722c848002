// Vectors of whatever width this CPU has, products of rows with them, and the small functions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "model.h"

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#endif

// Rows are too short to be foreseen: asks for what is read 8 KB on, into the second cache.
inline void fetch(const void* at) { __builtin_prefetch((const char*)at + 8192, 0, 2); }

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
        fetch(w + k);
        for (int j = 0; j < 4; j++) a[j] = add(load(w + k + j * W), load(x + k + j * W), a[j]);
    }
    for (; k + W <= count; k += W) a[0] = add(load(w + k), load(x + k), a[0]);
    if (k < count) a[1] = add(tail(w + k, count - k), tail(x + k, count - k), a[1]);
    return total(a[0], a[1], a[2], a[3]);
}

inline float sigmoid(float u) { return 1 / (1 + std::exp(-u)); }
inline float capped(float u, float a) { return a > 0 ? a * std::tanh(u / a) : u; }
inline float log_sigmoid(float u) {
    return std::min(u, 0.0f) - std::log1p(std::exp(-std::fabs(u)));
}

inline void rms_norm(const float* x, const float* weight, int64_t width, float eps, float* y) {
    const float root = 1 / std::sqrt(dot(x, x, width) / width + eps);
    for (int64_t e = 0; e < width; e++) y[e] = x[e] * root * weight[e];
}

// A row of the table, widened.
inline void embed(const Matrix& table, int64_t token, float* x) {
    const int64_t at = token * table.columns;
    for (int64_t e = 0; e < table.columns; e++) {
        if (table.kind == INT8) x[e] = ((const int8_t*)table.weight)[at + e] * table.scale[token];
        if (table.kind == FLOAT32) x[e] = ((const float*)table.weight)[at + e];
        if (table.kind == BFLOAT16) {
            const uint32_t bits = uint32_t(((const uint16_t*)table.weight)[at + e]) << 16;
            std::memcpy(&x[e], &bits, 4);
        }
    }
}

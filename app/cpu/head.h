// One head of the cell over many tokens: app/kernels/chunkwise.py, then its norm and output gate.
#pragma once

#include "products.h"
#include "vectors.h"

constexpr int64_t CHUNK = 64;  // tokens; as app/kernels/chunkwise.py

struct Work {  // what the threads hand each other, a row a token
    Halves y, z, mixed, inner;  // normed; convolved; the heads' outputs; inside the feed-forward
    Rows<float> qk, vo, gates;
};

// A head's memory and the room to read chunks. Columns of values are padded with zeros to whole
// panels.
struct Head {
    const Model& m;
    const int64_t dk, dv, head;
    Rows<float> c, v, h, q, k, p, turned;
    std::vector<float> n;
    float top;  // the state's m
    double w[CHUNK], u[CHUNK];  // logD[t, j] - M_t = u[t] + w[j]
    float largest[CHUNK];       // M

    Head(const Model& model, int64_t number, State s)
        : m(model), dk(m.dk), dv(m.dv), head(number), c(dk, dv, PANEL), v(CHUNK, dv, PANEL),
          h(CHUNK, dv, PANEL), q(CHUNK, dk), k(CHUNK, dk), p(CHUNK, CHUNK),
          turned(padded(dk, VECTOR), CHUNK), n(s.n + head * dk, s.n + (head + 1) * dk),
          top(s.m[head]) {
        for (int64_t d = 0; d < dk; d++) std::copy_n(s.c + (head * dk + d) * dv, dv, c[d]);
    }

    void leave(State s) const {
        for (int64_t d = 0; d < dk; d++) std::copy_n(c[d], dv, s.c + (head * dk + d) * dv);
        std::copy(n.begin(), n.end(), s.n + head * dk);
        s.m[head] = top;
    }

    void read(const Block& b, const Work& x, int64_t from, int64_t count, bool go_on) {
        for (int64_t t = 0; t < count; t++) {
            std::copy_n(x.qk[from + t] + head * dk, dk, q[t]);
            std::copy_n(x.qk[from + t] + (m.heads + head) * dk, dk, k[t]);
            std::copy_n(x.vo[from + t] + head * dv, dv, v[t]);
        }
        double passed = 0, most = top;  // sum of log forget gates; of m and all w
        for (int64_t t = 0; t < count; t++) {
            const float* gates = x.gates[from + t];
            // what decays by more than e^-1e6 is gone
            passed += std::max(log_sigmoid(gates[m.heads + head]), -1e6f);
            w[t] = std::min(gates[head], LARGEST_I) - passed;
            most = std::max(most, w[t]);
            largest[t] = std::max(float(passed + most), LOWEST_M);
            u[t] = passed - largest[t];
        }
        const float after = std::max(float(passed + most), LOWEST_M);
        scores(count);
        outputs(count);
        for (int64_t t = 0; t < count; t++)
            mix(h[t], x.vo[from + t], b.norm_heads, x.mixed[from + t]);
        if (go_on) carry(count, passed - after);
        top = after;
    }

    // p = s q k^T e^(logD - M), zeros above the diagonal
    void scores(int64_t count) {
        turn(k[0], dk, count, dk, turned[0], CHUNK);
        const __m512 scale = _mm512_set1_ps(1 / std::sqrt(float(dk)));
        by_tiles(0, count, [&](auto rows, int64_t t) {
            constexpr int R = rows;
            __m512 acc[R][GROUPS] = {};
            multiply<false>(acc, {q[t], dk, 1}, turned[0], CHUNK, dk);
            for (int r = 0; r < R; r++) {
                for (int j = 0; j < GROUPS; j++) {
                    const __mmask16 seen = first(t + r + 1 - j * VECTOR);
                    __m512 y = _mm512_setzero_ps();
                    if (seen) {
                        y = _mm512_mul_ps(scale, exp(weights(u[t + r], j * VECTOR)));
                        y = _mm512_maskz_mul_ps(seen, acc[r][j], y);
                    }
                    _mm512_storeu_ps(p[t + r] + j * VECTOR, y);
                }
            }
        });
    }

    __m512 weights(double a, int64_t j) const {  // a + w[j ...]
        const __m512d all = _mm512_set1_pd(a);
        const __m256 low = _mm512_cvtpd_ps(_mm512_add_pd(all, _mm512_loadu_pd(w + j)));
        const __m256 high = _mm512_cvtpd_ps(_mm512_add_pd(all, _mm512_loadu_pd(w + j + 8)));
        return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
    }

    // h = (p v + q~ C) / max(|p 1 + q~ n|, e^-M), with q~ = s q e^(b + m - M)
    void outputs(int64_t count) {
        float share[CHUNK];
        for (int64_t t = 0; t < count; t++) {
            const float kept = std::exp(float(u[t] + top)) / std::sqrt(float(dk));
            for (int64_t d = 0; d < dk; d++) q[t][d] *= kept;
            __m512 sum = _mm512_setzero_ps();
            for (int64_t j = 0; j <= t; j += VECTOR)
                sum = _mm512_add_ps(sum, _mm512_loadu_ps(p[t] + j));
            const float den = _mm512_reduce_add_ps(sum) + dot(n.data(), q[t], dk);
            share[t] = 1 / (std::max(std::fabs(den), std::exp(-largest[t])) + m.eps);
        }
        by_tiles(0, count, [&](auto rows, int64_t t) {
            constexpr int R = rows;
            for (int64_t e = 0; e < dv; e += PANEL) {
                __m512 acc[R][GROUPS] = {};
                multiply<false>(acc, {p[t], CHUNK, 1}, v[0] + e, v.stride, t + R);
                multiply<false>(acc, {q[t], dk, 1}, c[0] + e, c.stride, dk);
                for (int r = 0; r < R; r++)
                    for (int j = 0; j < GROUPS; j++)
                        _mm512_storeu_ps(h[t + r] + e + j * VECTOR,
                                         _mm512_mul_ps(acc[r][j], _mm512_set1_ps(share[t + r])));
            }
        });
    }

    // The norm of a head and its output gate.
    void mix(const float* y, const float* vo, const float* weight, uint16_t* mixed) const {
        const float* gate = vo + (m.heads + head) * dv;
        const Moments normed(y, dv, m.norm_eps);
        for (int64_t e = 0; e < dv; e += VECTOR) {
            const __mmask16 some = first(dv - e);
            __m512 z = normed(_mm512_loadu_ps(y + e));
            z = _mm512_mul_ps(z, _mm512_maskz_loadu_ps(some, weight + head * dv + e));
            z = _mm512_mul_ps(z, sigmoid(_mm512_maskz_loadu_ps(some, gate + e)));
            _mm256_mask_storeu_epi16(mixed + head * dv + e, some, (__m256i)_mm512_cvtneps_pbh(z));
        }
    }

    // C = e^(g + m - m') C + sum of e^(logD[L, j] - m') k_j v_j^T, and n likewise; `rest` is g - m'
    void carry(int64_t count, double rest) {
        const float kept = std::exp(float(rest + top));
        for (float& x : n) x *= kept;
        for (int64_t t = 0; t < count; t++) {
            const float gain = std::exp(float(rest + w[t]));
            for (int64_t d = 0; d < dk; d++) n[d] += k[t][d] *= gain;
        }
        by_tiles(0, dk, [&](auto rows, int64_t d) {
            constexpr int R = rows;
            for (int64_t e = 0; e < dv; e += PANEL) {
                __m512 acc[R][GROUPS];
                for (int r = 0; r < R; r++)
                    for (int j = 0; j < GROUPS; j++)
                        acc[r][j] = _mm512_mul_ps(_mm512_set1_ps(kept),
                                                  _mm512_loadu_ps(c[d + r] + e + j * VECTOR));
                multiply<false>(acc, {k[0] + d, 1, dk}, v[0] + e, v.stride, count);
                for (int r = 0; r < R; r++)
                    for (int j = 0; j < GROUPS; j++)
                        _mm512_storeu_ps(c[d + r] + e + j * VECTOR, acc[r][j]);
            }
        });
    }
};

// The weights and states of an xLSTM as cpu_step.py hands them over, and the threads of one call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

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

enum { FLOAT32, BFLOAT16, INT8 };
constexpr float LOWEST_M = -80, LARGEST_I = 1e30f;  // as in app/kernels/state.py

// Threads of one call: they wait by spinning, as a phase takes microseconds, but not for long,
// as another program may hold the core of the one that is waited for.
struct Team {
    const int most;  // threads
    std::atomic<int> size{1}, joined{0}, arrived{0}, round{0};
    std::vector<std::atomic<int64_t>> next;  // (phases, most)

    Team(int64_t phases, int threads) : most(threads), next(phases * threads) {}

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
        for (int64_t from; (from = next[phase * most].fetch_add(step)) < count;) {
            for (int64_t i = from; i < std::min(count, from + step); i++) f(i);
        }
        wait();
    }

    // The same, where reading on is faster than beginning: each thread takes a stretch of its own
    // from end to end, and then of what others have not come to.
    template <class F>
    void stretch(int64_t phase, int number, int64_t count, int64_t step, F f) {
        const int64_t threads = size;
        for (int64_t k = 0; k < threads; k++) {
            const int64_t t = (number + k) % threads;
            const int64_t start = count * t / threads, end = count * (t + 1) / threads;
            for (int64_t from; (from = start + next[phase * most + t].fetch_add(step)) < end;) {
                for (int64_t i = from; i < std::min(end, from + step); i++) f(i);
            }
        }
        wait();
    }

    // work(number of the thread) in each of at most `most` threads.
    template <class F>
    void run(F work) {
        if (GOMP_parallel && omp_get_num_threads) {
            auto all = [&] {
                size = omp_get_num_threads();
                work(joined.fetch_add(1));
            };
            GOMP_parallel([](void* f) { (*static_cast<decltype(all)*>(f))(); }, &all, most, 0);
            return;
        }
        std::atomic<bool> go{false};
        std::vector<std::thread> helpers;
        try {
            for (int t = 1; t < most; t++) {
                helpers.emplace_back([&] {
                    while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
                    work(joined.fetch_add(1));
                });
            }
        } catch (const std::system_error&) {  // no more threads to be had: as many as there are
        }
        size = int(helpers.size()) + 1;
        go.store(true, std::memory_order_release);
        work(joined.fetch_add(1));
        for (auto& helper : helpers) helper.join();
    }
};

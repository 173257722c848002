"""What Triton makes of the kernels for a Hopper GPU, on a machine without one.

Run as a program (not interpreted): prints {kernel: [TTGIR of each variant]} as JSON.
"""

import json
import re
import sys

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class NoGPU:
    """As much of a driver as compiling asks for."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


@triton.jit
def planted_kernel(x, y, out, N, TILE: tl.constexpr):
    """One tile read by a product and by a sum: Triton 3.6 and 3.7 give it a buffer too few."""
    at = tl.arange(0, TILE)
    total, sums = tl.zeros((TILE, TILE), tl.float32), tl.zeros((TILE,), tl.float32)
    for n in range(N):
        left = tl.load(x + at[:, None] * TILE * 64 + n * TILE + at[None, :])
        right = tl.load(y + (n * TILE + at)[:, None] * TILE + at[None, :])
        total = tl.dot(left, right, total)
        sums += tl.sum(left.to(tl.float32), axis=1)
    tl.store(out + at[:, None] * TILE + at[None, :], total + sums[:, None])


def overwritten(ttgir):
    """Buffers that a copy may fill while a product of the round before still reads them.

    A loop that waits for all but one product needs more buffers than it has copies in flight.
    """
    buffers = {
        name: int(count)
        for name, count in re.findall(
            r"%(\S+) = ttg.local_alloc : \(\) -> !ttg.memdesc<(\d+)x", ttgir
        )
    }
    views = dict(re.findall(r"%(\S+) = ttg.memdesc_(?:index|trans) %([^\s\[]+)", ttgir))
    ahead = {}
    for name, place in re.findall(r"memdesc_index %([^\s\[]+)\[%c(\d+)_i32", ttgir):
        ahead.setdefault(name, set()).add(place)
    found = set()
    for read in re.findall(r"warp_group_dot_wait ([^{]*) \{pendings = [1-9]", ttgir):
        for name in re.findall(r"%([\w#]+)", read):
            while name in views:
                name = views[name]
            if name in buffers and buffers[name] <= len(ahead.get(name, ())):
                found.add(name)
    return sorted(found)


def compile_all():
    """Call the chunkwise form once with its gradient, launching nothing."""
    from app.kernels.triton_chunkwise import mlstm_chunkwise_triton

    wide = [torch.randn(1, 2, 512, d, dtype=torch.bfloat16) for d in (256, 256, 512)]
    gates = [torch.randn(1, 512, 2, dtype=torch.bfloat16).transpose(1, 2) for _ in range(2)]
    leaves = [y.requires_grad_() for y in (*wide, *gates)]
    h, _ = mlstm_chunkwise_triton(*leaves)
    h.sum().backward()


def main(what):
    """Compile instead of launching, and print what came of it."""
    made, run = {}, JITFunction.run

    def compile_only(self, *args, grid, warmup, **options):
        kernel = run(self, *args, grid=grid, warmup=True, **options)
        made.setdefault(self.__name__, []).append(kernel.asm["ttgir"])
        return kernel

    JITFunction.run = compile_only
    driver.set_active(NoGPU())
    if what == "planted":
        x = torch.empty(64, 4096, dtype=torch.bfloat16)
        planted_kernel[(1,)](x, x, x, 8, 64, num_warps=4, num_stages=3)
    else:
        compile_all()
    print(json.dumps(made))


if __name__ == "__main__":
    main(sys.argv[1])

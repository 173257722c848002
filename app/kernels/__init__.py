"""Every formulation of the mLSTM under one signature: f(q, k, v, i, f, state) -> (h, state).

Sees tensors only: no configuration, no tokens, no text. The glossary of all files here:

    B batch, H heads, S tokens, Dk and Dv head widths of q, k and of v, L chunk, N chunks
    q, k (B, H, S, Dk), v (B, H, S, Dv): query, key, value
    i, f (B, H, S): input and forget gate pre-activations
    state (c, n, m): matrix memory (B, H, Dk, Dv), normaliser (B, H, Dk), stabiliser (B, H)
    h (B, H, S, Dv): what the cell gives

Gates, sums and states are float32 (float64 for float64 inputs), whatever the dtype of q, k and v.
"""

from app.kernels.chunkwise import mlstm_chunkwise
from app.kernels.parallel import mlstm_parallel
from app.kernels.recurrent import mlstm_recurrent, mlstm_step
from app.kernels.state import State, zero_state

__all__ = [
    "State",
    "mlstm_chunkwise",
    "mlstm_parallel",
    "mlstm_recurrent",
    "mlstm_step",
    "zero_state",
]

"""The two records that users of the public packages print to see which kernels run.

Derived from our config and the resolved backend; nothing reads them.
"""

from app.kernels.backends import backend_config, mLSTMBackendConfig, mLSTMLayerConfig
from app.model.xlstm import XLSTM


def layer_config(model: XLSTM) -> mLSTMLayerConfig:
    """What one mLSTM layer of `model` is; the backend is its last field but one."""
    c = model.config
    return mLSTMLayerConfig(
        embedding_dim=c.embedding_dim,
        num_heads=c.num_heads,
        use_bias=c.use_bias,
        norm_eps=c.norm_eps,
        qk_dim_factor=c.qk_dim_factor,
        v_dim_factor=c.v_dim_factor,
        gate_soft_cap=c.gate_soft_cap,
        mlstm_backend=kernel_config(model),
    )


def kernel_config(model: XLSTM) -> mLSTMBackendConfig:
    """Which kernels `model` runs where its weights are, and how they are called."""
    return backend_config(model.backend, chunk_size=model.config.chunk_size, eps=model.config.eps)

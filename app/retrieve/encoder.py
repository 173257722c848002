"""BERT's layers on a CPU in one compiled call, where bfloat16 is multiplied in vectors.

A stand-in for a transformers model's own forward: the same function with fewer roundings.
"""

import ctypes
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from app.cpu.library import Linear, Matrix, library

_BFLOAT16 = 1  # a kind of matrix, as app/cpu/model.h counts them


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, Linear) for name in ("query", "key", "value", "out", "up", "down")),
        *((name, ctypes.c_void_p) for name in ("norm1", "bias1", "norm2", "bias2")),
    ]


class _Encoder(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("width", "layers", "heads", "inner")),
        ("eps", ctypes.c_float),
        ("layer", ctypes.POINTER(_Layer)),
    ]


class CompiledEncoder:
    """The compiled layers over the weights of a BERT model in bfloat16, which stay where they are.

    Args:
        model: A `BertModel` of transformers with what `encoder_of` asks for.
        code: The library.
        exact: Norms' weights and biases by their names, as they were before they were rounded.
    """

    def __init__(self, model: nn.Module, code: ctypes.CDLL, exact: dict[str, Tensor]) -> None:
        self._code, self._embed, self._exact = code, model.embeddings, exact
        self._names = {id(weight): name for name, weight in model.named_parameters()}
        self._held: list[Tensor] = []  # keeps what the pointers lead to
        c = model.config
        layers = (_Layer * c.num_hidden_layers)(*map(self._layer, model.encoder.layer))
        self._table = _Encoder(
            width=c.hidden_size,
            layers=c.num_hidden_layers,
            heads=c.num_attention_heads,
            inner=c.intermediate_size,
            eps=c.layer_norm_eps,
            layer=layers,
        )

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Ids (B,S) and 1 for what is no pad -> the last layer's outputs (B,S,E) float32.

        Pads come last in their rows; their outputs are zero.
        """
        there = attention_mask.bool()
        lengths = there.sum(1)
        place = torch.arange(input_ids.shape[1]).expand_as(input_ids)[there]
        x = self._embed(input_ids=input_ids[there][None], position_ids=place[None])
        x = x[0].float().contiguous()
        self._code.encode_texts(
            ctypes.byref(self._table),
            ctypes.c_void_p(lengths.data_ptr()),
            ctypes.c_int64(len(lengths)),
            ctypes.c_void_p(x.data_ptr()),
            torch.get_num_threads(),
        )
        return x.new_zeros(*there.shape, x.shape[1]).index_put_((there,), x)

    def _layer(self, layer: nn.Module) -> _Layer:
        attention, after = layer.attention.self, layer.attention.output
        return _Layer(
            query=self._linear(attention.query),
            key=self._linear(attention.key),
            value=self._linear(attention.value),
            out=self._linear(after.dense),
            up=self._linear(layer.intermediate.dense),
            down=self._linear(layer.output.dense),
            norm1=self._float(after.LayerNorm.weight),
            bias1=self._float(after.LayerNorm.bias),
            norm2=self._float(layer.output.LayerNorm.weight),
            bias2=self._float(layer.output.LayerNorm.bias),
        )

    def _linear(self, layer: nn.Linear) -> Linear:
        weight = layer.weight.detach().contiguous()
        self._held.append(weight)
        matrix = Matrix(weight.data_ptr(), None, *weight.shape, _BFLOAT16)
        return Linear(matrix, self._float(layer.bias))

    def _float(self, tensor: Tensor) -> int:
        exact = self._exact.get(self._names[id(tensor)])
        if exact is None or not torch.equal(exact.to(tensor.dtype), tensor):  # others since
            exact = tensor.detach().float()
        self._held.append(exact.contiguous())
        return self._held[-1].data_ptr()


_EXACT: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()
_ENCODERS: WeakKeyDictionary[nn.Module, tuple[int, CompiledEncoder]] = WeakKeyDictionary()


def encoder_of(model: nn.Module) -> CompiledEncoder | None:
    """The compiled layers of a `BertModel`, or None where its own forward has to do.

    They are for exact GELU, no decoder, and bfloat16 on a CPU that has it in vectors alone, where
    there is a compiler.
    """
    c = model.config
    if c.hidden_act != "gelu" or c.is_decoder:
        return None
    weight = model.encoder.layer[0].output.dense.weight
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or model.training:
        return None
    code = library()
    if code is None or not code.reads_prompts():
        return None
    known = _ENCODERS.get(model)
    if known is None or known[0] != weight.data_ptr():  # moved or cast: all weights are others
        made = CompiledEncoder(model, code, _EXACT.get(model, {}))
        known = _ENCODERS[model] = (weight.data_ptr(), made)
    return known[1]


def use_compiled(transformer: nn.Module) -> None:
    """Have the model of a sentence-transformers module run its compiled layers where they suit.

    Called before the model is rounded, it keeps what norms and biases were.
    """
    model = getattr(transformer, "model", None)
    if type(model).__name__ != "BertModel":
        return
    small = ((name, weight) for name, weight in model.named_parameters() if weight.ndim == 1)
    _EXACT[model] = {name: weight.detach().float().clone() for name, weight in small}
    own = model.forward

    def forward(input_ids: Any = None, attention_mask: Any = None, **others: Any) -> Any:
        encoder = encoder_of(model)
        kinds = others.get("token_type_ids")
        plain = isinstance(input_ids, Tensor) and isinstance(attention_mask, Tensor)
        if encoder is None or not plain or not _suits(attention_mask, kinds):
            return own(input_ids=input_ids, attention_mask=attention_mask, **others)
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=encoder(input_ids, attention_mask))

    model.forward = forward


def _suits(mask: Tensor, kinds: Tensor | None) -> bool:
    """Whether pads come last and all is of the first kind."""
    last = mask.ndim == 2 and bool((mask[:, 1:] <= mask[:, :-1]).all())
    return last and (kinds is None or not kinds.any())

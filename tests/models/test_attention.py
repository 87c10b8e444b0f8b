"""The pieces of hierarchical block attention: absorbed weights by their definition, and exports that run alike."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fraud.core import tokens as tk
from models.tgn.attention import BlockEncoder, MemoryAttention
from models.tgn.reading import HierarchicalAttention, marked


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share a machine: small networks are fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:Constant folding:UserWarning"
)
@pytest.mark.parametrize("part", ["encoder", "memory", "network"])
def test_exported_part_in_onnx_runtime_at_any_batch_equals_torch(part: str) -> None:
    torch.manual_seed(6)
    module, shapes = PARTS[part]()
    module.eval()
    names = [f"input_{i}" for i in range(len(shapes))]
    session = exported(module, inputs(shapes, 2), names)
    for size in (1, 3, 32):
        args = inputs(shapes, size)
        with torch.inference_mode():
            wanted = module(*args).numpy()
        got = session.run(None, dict(zip(names, [arg.numpy() for arg in args], strict=True)))[0]
        np.testing.assert_allclose(got, wanted, atol=2e-6)


class Marking(nn.Module):
    """Attention to tokens that are marked on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryAttention()

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor, log_age: Tensor) -> Tensor:
        out: Tensor = self.memory(query, marked(tokens, mask[:, 0, :, None].float(), log_age[:, 0, :, None]))
        return out


def projected(of: MemoryAttention, query: Tensor, tokens: Tensor, mask: Tensor, log_age: Tensor) -> Tensor:
    """Return the answer (B, d) by the definition: keys and values of every token, nothing absorbed."""
    many, heads, size = len(query), of.heads, of.size
    q = of.q(query).view(many, heads, 1, size)
    keys = torch.einsum("btd,hsd->bhts", tokens, of.k)
    values = torch.einsum("btd,hds->bhts", tokens, of.v)
    decay = functional.softplus(of.rate)[:, None] * log_age[:, None]
    score = (q @ keys.transpose(2, 3))[:, :, 0] * size**-0.5 - decay
    score = score.masked_fill(~mask[:, None], -torch.inf)
    nothing = of.nothing[None, :, None].expand(many, -1, 1)
    weight = torch.cat([score, nothing], 2).softmax(2)[:, :, :-1]
    out: Tensor = of.mix((weight[:, :, None] @ values).flatten(1))
    return out


def test_absorbed_attention_equals_that_of_projected_tokens() -> None:
    torch.manual_seed(9)
    attention = MemoryAttention(16, 2)
    with torch.no_grad():
        attention.nothing.uniform_(-1, 1)
        query, tokens, mask = torch.randn(5, 16), torch.randn(5, 12, 16), torch.rand(5, 12) > 0.4
        mask[0], log_age = False, torch.rand(5, 12)
        found = attention(query, marked(tokens, mask[..., None].float(), log_age[..., None]))
        torch.testing.assert_close(found, projected(attention, query, tokens, mask, log_age), atol=1e-6, rtol=0)
    assert torch.equal(found[0], attention.mix.bias)


Shapes = list[tuple[int, ...] | None]
"""Of one row of each input; None stands for a mask of 84 tokens."""
PARTS: dict[str, Callable[[], tuple[nn.Module, Shapes]]] = {
    "encoder": lambda: (BlockEncoder(), [(16, 20)]),
    "memory": lambda: (Marking(), [(64,), (84, 64), None, (1, 84)]),
    "network": lambda: (
        HierarchicalAttention(),
        [(tk.STATIC,), (tk.RAW, tk.RAW_COLUMNS), (tk.SUMS, tk.SUM_COLUMNS), (tk.SUMS, tk.CODE)],
    ),
}


def inputs(shapes: Shapes, size: int) -> tuple[Tensor, ...]:
    """Return random inputs; column 0, presence, is 0 or 1, and one row has nothing at all."""
    made = [torch.rand(size, 1, 84) > 0.5 if shape is None else torch.rand(size, *shape) for shape in shapes]
    for one in made:
        if one.dim() == 3 and one.is_floating_point():
            one[:, :, 0] = one[:, :, 0].round()
            one[-1] = 0
    return tuple(made)


def exported(module: nn.Module, args: tuple[Tensor, ...], names: list[str]) -> onnxruntime.InferenceSession:
    """Return a module in ONNX Runtime, its batch free."""
    file: Any = io.BytesIO()  # which the exporter takes, whatever its types say
    axes = {name: {0: "batch"} for name in [*names, "out"]}
    torch.onnx.export(
        module, args, file, dynamo=False, opset_version=17, input_names=names, output_names=["out"], dynamic_axes=axes
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file.getvalue(), options)

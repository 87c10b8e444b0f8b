"""From a fitted torch module to the arrays of an artifact: weights, and the graphs that are served."""

import io
import logging
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fraud.core import tokens as tk
from models.tgn import runtime
from models.tgn.tgnn import TemporalGraphNetwork

OPSET = 18
WEIGHTS = "weight."
EXAMPLES = 2
"""A batch of 1 would be taken for a constant."""
SHARED = ("raw", "sums", "codes")
"""What exit 1 may be given once for several rows. Exit 2 may not: of one side alone, one row is multiplied in another
order than many."""


class _Near(nn.Module):
    def __init__(self, network: TemporalGraphNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, raw: Tensor, sums: Tensor, codes: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.near(x, raw, sums, codes, text)


class _Far(_Near):
    def forward(self, latents: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.far(latents, raw, sums, codes)


def arrays_of(network: TemporalGraphNetwork, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Return what an artifact stores of a network; `names` are those of the feature vector."""
    network = network.cpu().eval()
    arrays: dict[str, NDArray[np.generic]] = {
        runtime.COLUMNS: np.array([names.index(name) for name in network.config.columns], dtype=np.int64),
        **{WEIGHTS + name: tensor.numpy() for name, tensor in network.state_dict().items()},
    }
    for name, graph in graphs(network).items():
        arrays[name] = np.frombuffer(graph, dtype=np.uint8)
    return arrays


def graphs(network: TemporalGraphNetwork) -> dict[str, bytes]:
    """Return the ONNX graphs by name, batch size free."""
    x = torch.zeros(EXAMPLES, len(network.config.columns))
    raw = torch.zeros(EXAMPLES, 2, tk.RAW, tk.RAW_COLUMNS)
    sums, codes = torch.zeros(EXAMPLES, 2, tk.SUMS, tk.SUM_COLUMNS), torch.zeros(EXAMPLES, 2, tk.SUMS, tk.CODE)
    text = torch.randint(0, tk.GRAM_BUCKETS, (EXAMPLES, tk.GRAMS))
    near = {"x": x, "raw": raw, "sums": sums, "codes": codes, "text": text}
    made = {
        runtime.NEAR: graph(_Near(network), near, ("logit", "latents"), SHARED),
        runtime.ENCODE: graph(network.encoder, {"blocks": torch.zeros(EXAMPLES, tk.BLOCK, tk.STATIC)}, ("codes",)),
    }
    if network.exit_far is not None:
        latents = torch.zeros(EXAMPLES, 3 + network.config.text, network.config.width)
        far = {"latents": latents, "raw": raw[:, 0], "sums": sums[:, 0], "codes": codes[:, 0]}
        made[runtime.FAR] = graph(_Far(network), far, ("logit",))
    return made


def graph(module: nn.Module, given: dict[str, Tensor], outputs: tuple[str, ...], shared: tuple[str, ...] = ()) -> bytes:
    """Return one module as an ONNX graph whose first axis is free; `shared` inputs may have 1 row for all others."""
    buffer = io.BytesIO()
    axes = {name: {0: runtime.HISTORIES if name in shared else runtime.ROWS} for name in (*given, *outputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            module.eval(), tuple(given.values()), buffer,  # type: ignore[arg-type]
            input_names=list(given), output_names=list(outputs),
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return buffer.getvalue()

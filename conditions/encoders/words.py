"""The two ways of reading behind one interface: a small network over bytes, and a frozen T5.

    reader.prepare(texts)            T strings -> [T, ...], off the hot path, each different string read once
    reader(x)                        [B, T, ...] -> [B, T, num_tokens, features]

Shapes: B batch, T values, L bytes or tokens of a text, N = num_tokens.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

KEPT = 256  # texts whose tensors are kept


class Memory:
    """Remembers the tensors of the texts read last, so that a text costs something only when it changes.

    Args:
        read: turns one text into its tensor.
    """

    def __init__(self, read: Callable[[str], Tensor]) -> None:
        self._read = read
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Returns the tensors of T texts, stacked: [T, ...]."""
        found = []
        for text in texts:
            if text not in self._known:
                self._known[text] = self._read(text)
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(text)
            found.append(self._known[text])
        return torch.stack(found)


class Encoded:
    """Remembers what a network made of its last input for as long as its weights are the same: as they were, in place.

    It is for streams, where one text is encoded for chunk after chunk: only without gradients, and on a CPU, where
    comparing inputs waits for nothing. What changes weights behind autograd's back, by `.data`, has to forget it.

    Args:
        network: whose parameters are watched.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = [network]  # in a list, so that it is nobody's child
        self.forget()

    def forget(self) -> None:
        """Lets go of what it remembers."""
        self._weights: list[tuple[Tensor, int]] = []
        self._input: Tensor | None = None
        self._output = torch.empty(0)

    def __call__(self, encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Returns encode(x), from memory if x and the weights are those of the last time."""
        weights = [weight.detach() for weight in self._network[0].parameters()]
        if not self._may_remember(x, weights):
            self.forget()
            return encode(x)
        if self._input is None or not torch.equal(self._input, x) or not self._same(weights):
            self._input, self._output = x.clone(), encode(x)
            self._weights = [(weight, weight._version) for weight in weights]  # held, so that no other takes its place
        return self._output

    def _may_remember(self, x: Tensor, weights: Sequence[Tensor]) -> bool:
        if self._network[0].training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return False
        return not any(weight.is_inference() for weight in weights)  # these do not count their changes

    def _same(self, weights: Sequence[Tensor]) -> bool:
        return len(weights) == len(self._weights) and all(
            weight.data_ptr() == last.data_ptr() and weight.dtype == last.dtype and last._version == version
            for weight, (last, version) in zip(weights, self._weights, strict=True)
        )


def _say_cut(text: str, length: int, limit: int, unit: str, option: str) -> None:
    warnings.warn(
        f"text is {length} {unit} long and is cut to {limit} ({option}), its end is not read: {text[:60]!r}...",
        stacklevel=6,
    )


class ByteReader(nn.Module):
    """A small transformer over the text's UTF-8 bytes, as ByT5 counts them (arXiv 2105.13626); trained with the rest.

    Args:
        max_bytes: L, with the mark of the end; longer texts are cut, with a warning.
        num_tokens: N, learned queries that gather what was read.
        features: its width.
        num_layers: of the transformer.
        kernel: bytes that two convolutions before it see together, so that a word is the same word wherever it stands;
            0 for none.
    """

    def __init__(self, max_bytes: int, num_tokens: int, features: int, num_layers: int, kernel: int = 0) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.memory = Memory(self._read)
        self.embedding = nn.Embedding(259, features)  # 256 bytes after ByT5's three marks: padding, end, unknown
        self.position = nn.Parameter(torch.randn(max_bytes, features) * 0.02)
        self.queries = nn.Parameter(torch.randn(num_tokens, features) * 0.02)
        self.words = nn.ModuleList(
            nn.Conv1d(features, features, kernel, padding=kernel // 2) for _ in range(2 if kernel else 0)
        )
        heads = max(1, features // 32)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(features, heads, 2 * features, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(features)
        self.gather = nn.MultiheadAttention(features, heads, batch_first=True)
        self.encoded = Encoded(self)

    def train(self, mode: bool = True) -> ByteReader:
        """As for every module; what is remembered of a stream ends here."""
        self.encoded.forget()
        return super().train(mode)

    def prepare(self, texts: Sequence[str]) -> Tensor:
        """Turns T texts into [T, L] int64 numbers of bytes; 0 is padding."""
        return self.memory(texts)

    def blank(self) -> Tensor:
        """Returns [1, L] that stands for no text."""
        return self.prepare([""])

    def _read(self, text: str) -> Tensor:
        ids = _byte_tokenizer()(text)["input_ids"]  # with the mark of the end
        if len(ids) > self.max_bytes:
            _say_cut(text, len(ids), self.max_bytes, "bytes", "text.max_length")
            ids = [*ids[: self.max_bytes - 1], ids[-1]]
        return nn.functional.pad(torch.tensor(ids), (0, self.max_bytes - len(ids)))

    def forward(self, x: Tensor) -> Tensor:
        """Turns [B, T, L] numbers of bytes into [B, T, N, features]; in a stream on a CPU, once while they stay.

        What is padding in all of them may be left away.
        """
        return self.encoded(self._encode, x)

    def _encode(self, x: Tensor) -> Tensor:
        ids = x.flatten(0, 1)  # [B T, L]
        padding = torch.zeros_like(ids, dtype=self.position.dtype).masked_fill(ids == 0, float("-inf"))
        hidden = self.embedding(ids)
        written = (ids != 0)[:, :, None]
        for word in self.words:
            hidden = hidden + nn.functional.gelu(word((hidden * written).transpose(1, 2)).transpose(1, 2))
        hidden = hidden + self.position[: ids.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=padding)
        hidden = self.norm(hidden)
        queries = self.queries.expand(len(ids), -1, -1)
        read, _ = self.gather(queries, hidden, hidden, key_padding_mask=padding, need_weights=False)
        tokens = nn.functional.layer_norm(queries + read, queries.shape[-1:])  # as loud as what else the model is told
        return tokens.unflatten(0, x.shape[:2])


@functools.cache
def _byte_tokenizer() -> Any:
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer(extra_ids=0)


class T5Reader(nn.Module):
    """A frozen T5 encoder (arXiv 1910.10683), one token of the text after the other. It is no part of a checkpoint.

    Args:
        folder: a local folder or hub id of a T5 with safetensors; read when first needed, shared in the process.
        num_tokens: N; longer texts are cut, with a warning, shorter ones end in zeros.
        features: the T5's width.
        dtype: of its weights and its output.
    """

    def __init__(self, folder: str, num_tokens: int, features: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.folder, self.num_tokens, self.features, self.dtype = folder, num_tokens, features, dtype
        self.memory = Memory(self._read)
        self.register_buffer("_where", torch.zeros(()), persistent=False)  # knows the device

    def prepare(self, texts: Sequence[str]) -> Tensor:
        """Turns T texts into [T, N, features], on the CPU.

        Raises:
            ValueError: if there is no such T5, or it is of another width.
        """
        return self.memory(texts)

    def blank(self) -> Tensor:
        """Returns [1, N, features] that stands for no text; the T5 is not needed for it."""
        return torch.zeros(1, self.num_tokens, self.features, dtype=self.dtype)

    @torch.no_grad()
    def _read(self, text: str) -> Tensor:
        tokenizer, model = load_t5(self.folder, str(self._where.device), self.dtype)
        if model.config.d_model != self.features:
            raise ValueError(f"the T5 in {self.folder} has width {model.config.d_model}: set text.features to it")
        ids = tokenizer(text)["input_ids"]
        if len(ids) > self.num_tokens:
            _say_cut(text, len(ids), self.num_tokens, "tokens", "text.num_tokens")
            ids = tokenizer(text, truncation=True, max_length=self.num_tokens)["input_ids"]
        hidden = model(input_ids=torch.tensor([ids], device=model.device)).last_hidden_state[0]  # [length, features]
        return nn.functional.pad(hidden.cpu(), (0, 0, 0, self.num_tokens - len(ids)))

    def forward(self, x: Tensor) -> Tensor:
        """Returns [B, T, N, features] as it is: the projection to the backbone's width is what is trained."""
        return x


@functools.lru_cache(maxsize=2)
def load_t5(folder_or_id: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Reads a T5's tokenizer and encoder, once per process; pickled weights are not read.

    Args:
        folder_or_id: a local folder, or the id of a repository on the hub.
        device: where to put it.
        dtype: of its weights.

    Returns:
        The tokenizer, and the frozen encoder in evaluation mode.

    Raises:
        ValueError: if it is not to be had, or not a T5, or weights are missing, damaged or of other shapes.
    """
    from transformers import AutoConfig, AutoTokenizer, T5EncoderModel

    if folder_or_id.startswith((".", "/", "~")) and not Path(folder_or_id).is_dir():
        raise ValueError(f"text.pretrained must be a folder or a hub id of a T5, no folder {folder_or_id}")
    try:
        config = AutoConfig.from_pretrained(folder_or_id)
        if config.model_type not in ("t5", "mt5"):
            raise ValueError(f"its model_type is {config.model_type!r}, not 't5'")
        tokenizer = AutoTokenizer.from_pretrained(folder_or_id)
        model, report = T5EncoderModel.from_pretrained(
            folder_or_id, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"text.pretrained must be a T5 with config.json, its tokenizer and *.safetensors, got {folder_or_id}: "
            f"{error}"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"the T5 in {folder_or_id} lacks {', '.join(missing)}: fetch it again")
    return tokenizer, model.to(device).eval().requires_grad_(False)

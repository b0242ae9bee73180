"""Tune low-rank adapters beside frozen weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from annotated_types import Ge, Gt, MinLen
from genever.training import Composition, Tuned, named_parameters
from peft import LoraConfig, LoraModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = ["LoRA"]

_ATTENTION_AND_MLP = (
    # The official DiT's layout.
    *("attn.qkv", "attn.proj", "cross_attn.q_linear", "cross_attn.kv_linear", "cross_attn.proj", "mlp.fc1", "mlp.fc2"),
    # That of diffusers' transformers and U-Nets.
    *("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    *("single_transformer_blocks.*.proj_mlp", "single_transformer_blocks.*.proj_out"),
)


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """Each targeted layer W becomes W + (alpha / rank) · B A; only A [rank, in] and B [out, rank] learn.

    Of a convolution, A is one to `rank` channels with the same kernel, and B one of 1x1 after it. B starts at zero, so the
    model starts unchanged, bit for bit. The reference is the model with its adapter off and costs no memory. What is
    exported is a folder that peft loads. Through peft.

    Args:
        rank: rows of A.
        alpha: strength; it is baked into the exported file. None = `rank`, so that the factor is 1.
        targets: names of the network's linear layers and convolutions, or how they end: 'attn.qkv' is that layer of every
            block; '*' stands for any text. None = the linear layers of attention and MLP, as the official DiT and diffusers
            name them; a U-Net draws much of what it draws by others, such as 'conv1' and 'conv2'.
        rank_stabilised: scale by alpha / √rank instead.
        init: A ~ U(-1/√in, 1/√in) ('kaiming'; of a convolution, in · kernel area), or N(0, 1/rank²) ('gaussian').

    References:
        Hu et al., LoRA: Low-rank adaptation of large language models, 2021. arXiv:2106.09685
        Kalajdzievski, A rank stabilization scaling factor for fine-tuning with LoRA, 2023. arXiv:2312.03732
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] | None = None
    targets: Annotated[Sequence[str], MinLen(1)] | None = None
    rank_stabilised: bool = False
    init: Literal["kaiming", "gaussian"] = "kaiming"

    def tune(self, composition: Composition) -> Tuned:
        model = composition.model
        config = LoraConfig(
            r=self.rank,
            lora_alpha=cast(int, self.rank if self.alpha is None else self.alpha),
            target_modules=self._targeted(model.network),
            use_rslora=self.rank_stabilised,
            init_lora_weights=True if self.init == "kaiming" else "gaussian",
        )
        model.requires_grad_(False)
        before = {id(parameter) for parameter in model.parameters()}
        tuner = composition.build_seeded("adapter", lambda: LoraModel(model.network, config, "default"))
        parameters = named_parameters({"model": model}, "model")
        return Tuned(
            learns={name: parameter for name, parameter in parameters.items() if id(parameter) not in before},
            reference=lambda: AdapterOff(model),
            export=lambda folder: _export(model.network, config, folder),
            merge=lambda: _merge(cast(LoraModel, tuner)),
        )

    def _targeted(self, network: nn.Module) -> list[str]:
        """The full names of the layers that get an adapter."""
        layers = [name for name, module in network.named_modules() if _takes_adapter(module)]
        patterns = _ATTENTION_AND_MLP if self.targets is None else tuple(self.targets)
        matched = {pattern: [name for name in layers if _matches(name, pattern)] for pattern in patterns}
        missing = [pattern for pattern, names in matched.items() if not names]
        if not any(matched.values()) or (missing and self.targets is not None):
            named = f"{missing[0]!r} in tuner.LoRA.targets" if self.targets else f"tuner.LoRA.targets = {self.targets!r}"
            raise ValueError(
                f"{named} matches no linear layer and no convolution of this backbone. It has, for example: "
                f"{', '.join(_examples(layers))}. Name layers by how their names end."
            )
        return sorted({name for names in matched.values() for name in names})


class AdapterOff(nn.Module):
    """A view of a model as it is without its adapter. It has no parameters of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._viewed = (model,)  # A tuple keeps it from being registered.

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        (model,) = self._viewed
        with _adapters_off(model):
            return model(*args, **kwargs)


@contextmanager
def _adapters_off(model: nn.Module) -> Iterator[None]:
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    # Switching an adapter on, peft decides what learns; that is the trainer's to say.
    learning = [(parameter, parameter.requires_grad) for layer in layers for parameter in layer.parameters()]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter, learns in learning:
            parameter.requires_grad_(learns)


def _export(network: nn.Module, config: LoraConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    weights = get_peft_model_state_dict(network)
    # peft names weights as seen from its own wrapper of a model.
    saved = {f"base_model.model.{name}": tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    save_file(saved, folder / "adapter_model.safetensors")


@torch.no_grad()
def _merge(tuner: LoraModel) -> None:
    tuner.merge_and_unload()


def _takes_adapter(layer: nn.Module) -> bool:
    """Whether peft can merge an adapter into it: of a convolution in groups it cannot."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def _examples(layers: Sequence[str]) -> list[str]:
    """How the layers' names end, each ending once."""
    return list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in layers))[:8]

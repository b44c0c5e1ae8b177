"""Continues texts with a language model, on a GPU where there is one."""

from __future__ import annotations

import bentoml

with bentoml.importing():
    import torch
    from transformers import GPT2LMHeadModel


@bentoml.service(name="llm", traffic={"timeout": 300})
class LanguageModel:
    """One model, whose tokens are bytes."""

    weights = bentoml.models.BentoModel("gpt2:latest")

    def __init__(self) -> None:
        """Load the weights where they are to be used, shard by shard."""
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = GPT2LMHeadModel.from_pretrained(self.weights.path, device_map=self.device, dtype="auto")

    @bentoml.api
    def generate(self, prompt: str, tokens: int = 16) -> str:
        """Return what follows the prompt: the likeliest token, again and again."""
        prompted = torch.tensor([list(prompt.encode())], device=self.device)
        continued = self.model.generate(
            prompted,
            attention_mask=torch.ones_like(prompted),
            do_sample=False,
            max_new_tokens=tokens,
            pad_token_id=0,
        )
        return bytes(continued[0, prompted.shape[1] :].tolist()).decode("utf-8", "replace")

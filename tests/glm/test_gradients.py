"""Gradients of a step's parts: the same, whoever computes them."""

import multiprocessing

import pytest
import torch
from torch import Tensor, nn

from freqq.glm.train.gradients import Gradients, LossOf

PARTS = 5


def setup() -> tuple[nn.Module, list[nn.Parameter], list[LossOf]]:
    """A model with a tied weight, of which each part uses another share, and one that only an odd part uses."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"embed": nn.Embedding(11, 8), "inner": nn.Linear(8, 8), "head": nn.Linear(8, 3)})

    def part(number: int) -> LossOf:
        def loss_of(step: int) -> tuple[Tensor, dict[str, Tensor]]:
            generator = torch.Generator().manual_seed(100 * step + number)
            ids = torch.randint(0, 11, (6,), generator=generator)
            hidden = torch.tanh(model["inner"](model["embed"](ids)))
            values = {"mean": hidden.mean()}
            if number % 2:
                values["odd"] = model["head"](hidden).square().mean()
            return (hidden @ model["embed"].weight.T).logsumexp(-1).mean() + sum(values.values()), values

        return loss_of

    return model, list(model.parameters()), [part(i) for i in range(PARTS)]


def trained(processes: int, parts: int = PARTS) -> tuple[list[Tensor], list[dict[str, float]]]:
    """Weights and values after four steps."""
    model, weights, losses = setup()
    values = []
    with Gradients(model, weights, losses[:parts], processes) as gradients:
        for step in range(4):
            values.append(gradients.of(step))
            with torch.no_grad():
                for weight in weights:
                    if weight.grad is not None:
                        weight -= 0.1 * weight.grad
    assert not multiprocessing.active_children()
    return weights, values


def test_they_are_the_mean_of_the_parts_gradients():
    model, weights, losses = setup()
    with Gradients(model, weights, losses, 1) as gradients:
        gradients.of(3)
    found = [weight.grad for weight in weights]
    model, weights, losses = setup()
    total = sum(loss(3)[0] for loss in losses) / PARTS
    for grad, wanted in zip(found, torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize("processes", [2, 9])
@pytest.mark.parametrize("parts", [1, 2])
def test_any_number_of_processes_gives_the_same_to_the_last_bit(processes, parts):
    (alone, said), (together, also) = trained(1, parts), trained(processes, parts)
    assert said == also
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_more_parts_than_processes_are_the_same_but_for_rounding():
    (alone, said), (together, also) = trained(1), trained(2)
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b)
    assert [set(one) for one in said] == [set(one) for one in also]


def test_what_no_part_uses_has_no_gradient():
    model, weights, losses = setup()
    with Gradients(model, weights, [losses[0], losses[2]], 2) as gradients:
        gradients.of(0)
    assert [name for name, p in model.named_parameters() if p.grad is None] == ["head.weight", "head.bias"]


def test_a_loss_that_is_no_number_ends_the_training_with_its_step():
    model, weights, losses = setup()

    def broken(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss, values = losses[1](step)
        return loss * (float("nan") if step == 2 else 1.0), values

    with Gradients(model, weights, [losses[0], broken], 2) as gradients:
        gradients.of(1)
        with pytest.raises(FloatingPointError, match="step 2"):
            gradients.of(2)
    assert not multiprocessing.active_children()


def test_a_process_that_dies_ends_the_training():
    model, weights, losses = setup()
    with Gradients(model, weights, losses[:2], 2) as gradients:
        gradients.of(0)
        [other] = multiprocessing.active_children()
        other.kill()
        other.join()
        with pytest.raises(RuntimeError, match="exit code -9"):
            gradients.of(1)

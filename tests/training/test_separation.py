"""Whether masks tell the classes apart: by hand, and the line that a training says of masks that explain nothing."""

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn

from explainer.data import Shapes
from explainer.networks import Explanandum, FeatureMasker
from explainer.training.callbacks.averaging import AveragedWeights
from explainer.training.modules import AmortizedExplainer, ExplainerObjective
from explainer.training.schedule import WarmUpCosine
from explainer.training.separation import fault, separation
from tests.support.small_checkpoints import SMALL


def test_separation_pair_by_pair():
    explanandum = Explanandum(**SMALL, num_classes=4, multilabel=True)
    image, masks = torch.rand(3, 3, 16, 16), torch.rand(3, 4, 16, 16)
    labels = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]]).float()
    fill = explanandum.mean_colour
    found = separation(explanandum, image, masks, labels, fill, classes=2)
    pairs = [(0, 0), (0, 3), (2, 1), (2, 2)]  # the third image's last class is one too many
    assert len(found.through_mask) == len(pairs)
    for place, (n, c) in enumerate(pairs):
        others = torch.stack([masks[n, d] for d in range(4) if d != c]).amax(0)
        seen_through = (
            (found.through_mask[place], masks[n, c]),
            (found.through_others[place], others),
            (found.through_rest[place], 1 - masks[n, c]),
        )
        for got, mask in seen_through:
            seen = mask * image[n] + (1 - mask) * fill[0]
            torch.testing.assert_close(got, explanandum(seen[None]).sigmoid()[0, c])
        torch.testing.assert_close(found.area[place], masks[n, c].mean())


def test_no_label_and_one_class():
    explanandum = Explanandum(**SMALL, num_classes=1, multilabel=True)
    image, masks = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    fill = explanandum.mean_colour
    assert len(separation(explanandum, image, masks, torch.zeros(2, 1), fill).through_mask) == 0
    found = separation(explanandum, image, masks, torch.ones(2, 1), fill)
    torch.testing.assert_close(found.through_others, explanandum(fill.expand(2, 3, 16, 16)).sigmoid()[:, 0])


@pytest.mark.parametrize(("values", "word"), [
    ((0.9, 0.1, 0.3), None), ((0.5, 0.5, 0.3), "same for every class"), ((0.02, 0.01, 0.001), "empty"),
    ((0.9, 0.9, 0.99), "full"),
])  # fmt: skip
def test_what_is_wrong_is_said(values, word):
    words = fault(*values)
    assert (words is None) if word is None else word in words


class Same(nn.Module):
    """A decoder whose masks are all the same."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, layers, evidence):
        return self.value * evidence[:, :1].expand(-1, 6, -1, -1) * 0


def fitted(tmp_path, module, *callbacks, epochs=1):
    data = Shapes(image_size=32, batch_size=8, num_workers=0, train_images=16, val_images=8, test_images=4)
    module.explanandum.describe_classes(data.classes, True, new_head=False)
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
                      default_root_dir=tmp_path, enable_checkpointing=False, enable_model_summary=False,
                      callbacks=list(callbacks))  # fmt: skip
    trainer.fit(module, datamodule=data)
    return trainer


def explainer_module(**options):
    explanandum = Explanandum(**SMALL, num_classes=6, multilabel=True)
    return AmortizedExplainer(explanandum, FeatureMasker(width=8, scales=2), ExplainerObjective(), **options)


@pytest.mark.parametrize(("after", "said"), [(2, True), (100, False)])
def test_masks_that_are_the_same_are_told_of(tmp_path, recwarn, after, said):
    module = explainer_module(check_after=after)
    module.explanandum.describe_classes(Shapes().classes, True, new_head=False)
    module.masker.build(6)
    module.masker.network = Same()
    fitted(tmp_path, module)
    lines = [str(w.message) for w in recwarn if "the masks are" in str(w.message)]
    assert bool(lines) == said
    assert not lines or "after 2 steps the masks are the same for every class" in lines[0]


@pytest.mark.parametrize("callback", [AveragedWeights, EMAWeightAveraging])
def test_an_average_of_the_weights_is_kept(tmp_path, callback):
    module = explainer_module()
    if callback is EMAWeightAveraging:  # train.py builds the module before the callbacks see it
        module.explanandum.describe_classes(Shapes().classes, True, new_head=False)
        module.build(Shapes().classes, True)
    average = callback(decay=0.5)
    fitted(tmp_path, module, average)
    assert len(list(average._average_model.module.masker.parameters()))
    for one, two in zip(average._average_model.module.parameters(), module.parameters(), strict=True):
        assert torch.equal(one, two)  # what the training ends with


def test_the_average_follows_by_hand(tmp_path):
    seen = []

    class Watch(AveragedWeights):
        def on_train_batch_end(self, trainer, module, *rest):
            super().on_train_batch_end(trainer, module, *rest)
            average = self._average_model.module.masker.network.head.bias
            seen.append((module.masker.network.head.bias.detach().clone(), average.detach().clone()))

    fitted(tmp_path, explainer_module(), Watch(decay=0.15))
    (_, first), (weights, second) = seen
    share = 1 - min(0.15, 2 / 11)  # the second of all updates; the first one copies
    torch.testing.assert_close(second, first + share * (weights - first))


def test_the_learning_rate_rises_and_falls():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = WarmUpCosine(optimizer, warm_up=4, steps=12)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[8] == pytest.approx(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


def test_the_schedule_learns_from_the_trainer_how_long_the_training_is(tmp_path):
    module = explainer_module(scheduler=lambda optimizer: WarmUpCosine(optimizer, warm_up=1))
    trainer = fitted(tmp_path, module, epochs=2)
    assert trainer.lr_scheduler_configs[0].scheduler.steps == 4
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)

"""Training of generative networks: it lowers what it should, follows its seed, resumes to the bit, and says no."""

import os
import signal
from pathlib import Path

import numpy
import pytest
import pytorch_lightning as pl
import torch

from explainer.cli.train import train
from explainer.errors import InputError
from explainer.functional.random_masks import Holes
from explainer.networks import DCGAN, CompletionVAE, ContextualAttention, Explanandum
from explainer.networks.restore import load_generator, load_inpainter
from explainer.stopping import Stopped
from explainer.training.callbacks.samples import draw_filled, draw_made
from explainer.training.modules import Completion, Generation, Inpainting, NonFiniteLossError
from tests.support import tiny_runs
from tests.support.small_checkpoints import save_classifier
from tests.support.small_modules import eight, fit


def adam(parameters):
    return torch.optim.Adam(parameters, lr=3e-3, betas=(0.5, 0.9))


def small(cls=ContextualAttention, **options):
    return cls(width=4, dilations=(1, 2), **options)


def inpainting(loss="hinge", **options):
    return Inpainting(small(), adam, adam, loss, critic_width=4, decay=0.5, **options)


def validated(module, tmp_path):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    return trainer.validate(module, datamodule=eight(), verbose=False)[0]


def error_in_holes(module):
    batch = next(iter(eight().train_dataloader()))
    mask = module.masks(batch.image, torch.Generator().manual_seed(5))
    with torch.no_grad():
        return float(((module(batch.image, mask) - batch.image).abs() * (1 - mask)).sum() / (1 - mask).sum() / 3)


def completion(**options):
    return Completion(small(CompletionVAE, latent=8), adam, decay=0.5, **options)


@pytest.mark.parametrize("make", [inpainting, completion, lambda: completion(conditional=True)])
def test_holes_are_filled_better_after_some_steps(make):
    module = make()
    before = error_in_holes(module)
    fit(module, eight(), 20)
    assert error_in_holes(module) < 0.9 * before


def test_codes_that_are_drawn_from_the_whole_image_vary_in_the_hole():
    """The code of a plain VAE knows what is visible alone, so that its draws do not tell contents apart."""
    spreads = []
    for conditional in (False, True):
        torch.manual_seed(0)
        module = completion(conditional=conditional)
        fit(module, eight(), 40)
        image = next(iter(eight().train_dataloader())).image
        mask = torch.ones_like(image[:, :1])
        mask[..., 8:24, 8:24] = 0
        network = module.average.module
        drawn = [network.complete(image, mask, torch.Generator().manual_seed(seed)) for seed in range(8)]
        spreads.append(float(torch.stack(drawn)[..., 8:24, 8:24].std(0).mean()))
    assert spreads[1] > 1.2 * spreads[0]


def test_the_critics_learn_to_tell_made_from_real():
    module = Generation(DCGAN(32, latent=8, width=4), lambda p: torch.optim.SGD(p, lr=0.0), adam)
    trainer = fit(module, eight(), 25)
    assert trainer.callback_metrics["train/real"] > trainer.callback_metrics["train/made"] + 1


def test_the_generator_moves_towards_what_the_critic_takes_for_real():
    module = Generation(DCGAN(32, latent=8, width=4), adam, lambda p: torch.optim.SGD(p, lr=0.0))
    codes = module.network.codes(8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.network.eval()
        before = module.network.realism(module.network.generate(codes)).mean()
        fit(module, eight(), 25)
        module.network.eval()
        after = module.network.realism(module.network.generate(codes)).mean()
    assert after > before + 0.05


@pytest.mark.parametrize("steps", [1, 3])
def test_only_steps_of_the_generator_count(steps):
    module = Generation(DCGAN(32, latent=8, width=2, spectral=False), adam, adam, "wgan_gp", critic_steps=steps)
    trainer = fit(module, eight(train_images=48), 2)
    assert trainer.global_step == 2
    assert trainer.fit_loop.total_batch_idx + 1 == 2 * steps
    assert int(module.average.n_averaged) == 1 + 2
    assert "train/penalty" in trainer.callback_metrics


def test_each_optimizer_moves_its_own_network():
    for still in (0, 1):
        makers = [adam, adam]
        makers[still] = lambda p: torch.optim.SGD(p, lr=0.0)
        module = Inpainting(small(), *makers, "wgan_gp", critic_width=4)
        parts = (module.network, module.critics)
        before = [[p.clone() for p in part.parameters()] for part in parts]
        fit(module, eight(), 2)
        moved = [any(not torch.equal(a, b) for a, b in zip(old, p.parameters())) for old, p in zip(before, parts)]
        assert moved == [still != 0, still != 1]
        assert all(p.requires_grad for part in parts for p in part.parameters())


def test_draws_follow_seed_epoch_and_batch():
    first, again, other = inpainting(seed=1), inpainting(seed=1), inpainting(seed=2)
    rows = [torch.rand(4, generator=m.draws("train", n)).tolist() for m in (first, again, other) for n in (0, 1)]
    assert rows[0] == rows[2]
    assert len({tuple(r) for r in rows}) == 4
    assert torch.rand(4, generator=first.draws("val", 0)).tolist() != rows[0]


def test_conditional_training_takes_one_label_of_each_image_and_none_without():
    module = Generation(DCGAN(32, latent=8, width=2, num_classes=3))
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    batch = type("Batch", (), {"image": torch.rand(3, 3, 32, 32), "labels": labels})
    drawn = [module.conditioned(batch, torch.Generator().manual_seed(s)) for s in range(20)]
    assert all(torch.equal(image, batch.image[[0, 2]]) for image, _ in drawn)
    assert {tuple(label.tolist()) for _, label in drawn} == {(0, 1), (2, 1)}
    assert fit(Generation(DCGAN(32, latent=8, width=2, num_classes=6), adam, adam), eight(), 2).global_step == 2


def test_validation_logs_errors_scores_and_probabilities(tmp_path):
    explanandum = Explanandum(save_classifier(tmp_path / "c.ckpt", eight().classes))
    module = inpainting(explanandum=explanandum, holes=Holes(boxes=1, strokes=0, blotches=0))
    before = {k: v.clone() for k, v in explanandum.state_dict().items()}
    logged = validated(module, tmp_path)
    wanted = {"l1", "global_real", "global_made", "local_real", "local_made"}
    assert set(logged) == {f"val/{name}" for name in wanted | {"probability_before", "probability_after"}}
    assert 0 < logged["val/l1"] < 1
    assert validated(module, tmp_path) == logged
    assert all(torch.equal(v, before[k]) for k, v in explanandum.state_dict().items())
    logged = validated(Generation(DCGAN(32, latent=8, width=2)), tmp_path)
    assert set(logged) == {f"val/{name}" for name in ("distance", "diversity", "real", "made")}


def test_a_loss_that_is_not_finite_stops_before_a_weight_changes():
    module = inpainting()
    module.weights["reconstruction"] = float("nan")
    before = [p.clone() for p in module.network.parameters()]
    with pytest.raises(NonFiniteLossError, match="'generator' is nan"):
        fit(module, eight(), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, module.network.parameters()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: inpainting(discount=0), "discount 0 not in"),
        (lambda: inpainting(critic_steps=0), "critic_steps 0 below 1"),
        (lambda: Generation(DCGAN(32, width=2), critic_steps=0), "critic_steps must be at least 1"),
        (lambda: Generation(DCGAN(32, width=2), decay=1.0), r"decay must lie in \[0, 1\)"),
        (lambda: Completion(small(CompletionVAE), deviation=0), "deviation must be above 0"),
        (lambda: fit(Generation(DCGAN(64, width=2)), eight(), 1), "makes images of 64×64, the data's 32"),
        (lambda: fit(Generation(DCGAN(32, width=2, num_classes=5)), eight(), 1), "has 5 classes, the data set 6"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_pictures_show_the_hole_what_fills_it_and_the_same_codes_for_every_class():
    module = inpainting()
    images, labels = torch.rand(3, 3, 32, 32), torch.eye(6)[:3]
    masks = module.masks(images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.average.module.refined[-2].bias.copy_(torch.tensor([30.0, -30.0, -30.0]))  # fills in red
        picture = draw_filled(module, images, labels, masks)
    assert picture.width > 6 * 168
    pixels = torch.from_numpy(numpy.array(picture)).int()
    red = (pixels == torch.tensor([255, 0, 0])).all(-1).float().mean()
    assert red > 0.5 * float((1 - masks).mean()) / 6
    made = Generation(DCGAN(32, latent=8, width=2, num_classes=6))
    made.build(eight().classes, True)
    assert draw_made(made, 3, torch.Generator().manual_seed(0)).height > 6 * 128
    plain = Generation(DCGAN(32, latent=8, width=2))
    assert draw_made(plain, 3, torch.Generator().manual_seed(0)).height < 2 * 150


ADAM = tiny_runs.adam()
MODELS = {
    "inpainting": {
        "class_path": "Inpainting",
        "init_args": {"network": {"width": 4, "dilations": [1]}, "critic_width": 4, "generator_optimizer": ADAM,
                      "critic_optimizer": ADAM, "critic_steps": 2},
    },
    "generation": {
        "class_path": "Generation",
        "init_args": {"network": {"image_size": 32, "width": 4, "num_classes": 6}, "generator_optimizer": ADAM,
                      "critic_optimizer": ADAM},
    },
    "completion": {
        "class_path": "Completion",
        "init_args": {"network": {"width": 4, "latent": 4, "dilations": [1]}, "optimizer": ADAM},
    },
}  # fmt: skip


class StopAt(pl.Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("kind", MODELS)
def test_a_stopped_training_ends_in_the_same_weights(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def config(name, **options):
        data = tiny_runs.data(train_images=32, val_images=8)
        whole = {"model": MODELS[kind], "data": data, "trainer": tiny_runs.trainer(**options)}
        return tiny_runs.write(name, whole | {"pictures": {"images": 3}})

    train(["--config", config("whole")])
    with pytest.raises(Stopped):
        train(
            ["--config", config("stopped", callbacks=[{"class_path": "tests.training.modules.test_generative.StopAt"}])]
        )
    train(["--config", config("stopped"), "--ckpt_path", "last"])
    first, second = (torch.load(f"runs/{n}/last.ckpt", weights_only=True) for n in ("whole", "stopped"))
    assert first["global_step"] == second["global_step"] == (4 if kind == "inpainting" else 8)
    assert all(torch.equal(v, second["state_dict"][k]) for k, v in first["state_dict"].items())
    for one, other in zip(first["optimizer_states"], second["optimizer_states"], strict=True):
        assert all(torch.equal(one["state"][i]["exp_avg"], other["state"][i]["exp_avg"]) for i in one["state"])
    assert len(list(Path("runs/whole/pictures").glob("*.png"))) == 2
    loaded = Path("checkpoints/whole.ckpt")
    state = torch.load(loaded, weights_only=True)["state_dict"]
    if kind == "generation":
        network = load_generator(loaded)
        assert network.classes == eight().classes
        used = network.generator
    else:
        network = used = load_inpainter(loaded, "vae" if kind == "completion" else "inpainter")[0]
    assert all(torch.equal(v, state[f"average.module.{k}"]) for k, v in used.state_dict().items())
    assert not network.training
    with pytest.raises(InputError, match="but 'classifier' is needed here"):
        train(["--config", tiny_runs.classifier_config(), "--ckpt_path", str(loaded)])

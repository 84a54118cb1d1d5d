"""Every config in configs/: parsed, built and run on a tiny tree in its data set's true layout."""

import inspect
import itertools
import re
from pathlib import Path

import pytest
import yaml
from torchvision.datasets import FashionMNIST

from explainer import attribution, metrics
from explainer.attribution import Attribution
from explainer.cli.evaluate import evaluate
from explainer.cli.including import find_included, included_names, read_alone
from explainer.cli.parser import ExplainerCLI
from explainer.cli.paths import CONFIGS
from explainer.cli.reading import find_config
from explainer.cli.train import train
from explainer.data import RandomPixels, SinglePatch, imagenet, shapes, voc
from explainer.evaluation import sanity_checks as probes
from explainer.networks import Explanandum
from tests.support import trees
from tests.support.shipped import NAMES, content_of
from tests.support.small_checkpoints import save_classifier, save_explainer, save_explanandum
from tests.support.small_generators import save_generator
from tests.support.small_infills import save_inpainter
from tests.support.tiny_runs import ROOT


def photographs(root):
    """A folder of folders, with train and val."""
    return trees.folder_tree(root, ("some", "more"), 4, ("train", "val"))


TREES = {"voc": trees.voc_tree, "coco": trees.coco_tree, "imagenet": trees.imagenet_tree, "fashion": trees.fashion_tree,
         "imagenette": trees.imagenet_tree, "photographs": photographs}  # fmt: skip
VARIATIONS = [n for n in NAMES if n.endswith("_variations.yaml")]
TABLES = [
    n
    for n in NAMES
    if n.endswith(
        (
            "_table1.yaml",
            "_table2.yaml",
            "_decisions.yaml",
            "_empirical.yaml",
            "_convergence.yaml",
            "_faithful_methods.yaml",
            "_idsds.yaml",
        )
    )
]
TABLES += ["shapes_methods.yaml", "voc_lite0_gradients.yaml"]
"""Evaluations alone, of what other configs train."""
TWINS = ("voc_resnet50_table2", "coco_vgg16_table2", "coco_resnet50_table2", "imagenet_vgg16_empirical",
         "imagenet_inception_v3_empirical", "coco_vgg16_empirical", "coco_inception_v3_empirical",
         "imagenet_lite0_fido_table2", "voc_lite0_refined_table2")  # fmt: skip
"""Those of which another one has the same methods: two of them are enough."""
CLASSIFIERS = [n for n in NAMES if n.endswith(("_classifier.yaml", "_roar.yaml", "_layers.yaml"))]
PARTS = ("voc_vgg16_classifier.yaml", "coco_vgg16_classifier.yaml")
"""Those that train layers which the small network of these tests does not have."""
FINE_TUNED = [n for n in NAMES if n.endswith(("_single_patch.yaml", "_random_masking.yaml"))]
"""Classifiers for metrics that remove parts of images."""
PLANTED = [n for n in NAMES if n.startswith("planted_") and n.endswith("_methods.yaml")]
"""Evaluations of planted scenes."""
READERS = ["claims.yaml", "planted_agreement.yaml"]
"""Experiments that read finished results alone."""
ATTENTION = "shapes_vit_methods.yaml"
"""Methods on a Vision Transformer, whose images have one size."""
GENERATIVE = [n for n in NAMES if n.endswith(("_inpainting.yaml", "_vae.yaml", "dcgan.yaml"))]
FILLED = [n for n in NAMES if n.endswith(("_fido.yaml", "_infills.yaml"))]
"""Evaluations with learned in-fills."""
SMALL = ["--model.init_args.explanandum.network=explainer.networks.small.small_cnn",
         "--model.init_args.explanandum.network_args={width: 4}"]  # fmt: skip
SMALL_ALONE = [argument.replace("model.init_args.", "") for argument in SMALL]
"""The small network for an evaluation that needs no model."""


def tree(name, folder):
    """Where a config's data is, and the arguments that make it small."""
    arguments = ["--data.init_args.image_size=32", "--data.init_args.batch_size=2", "--data.init_args.num_workers=0"]
    arguments += ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    kind = name.split("_")[0]
    if kind in ("shapes", "planted"):
        return [*arguments, "--data.init_args.train_images=6", "--data.init_args.val_images=4"]
    years = {"coco_lite0": "2017", "voc_lite0": "2012"}
    year = [years[start] for start in years if name.startswith(start)]
    root = TREES[kind](folder / "tree", year=year[0]) if year else TREES[kind](folder / "tree")
    return [*arguments, f"--data.init_args.root={root}"]


def test_a_bare_name_stands_for_one_file_and_every_shared_file_is_included():
    paths = list(CONFIGS.rglob("*.yaml"))
    assert len({path.name for path in paths}) == len(paths)
    assert {path.parent for path in paths if path.name == "defaults.yaml"} == {CONFIGS}
    included = {find_included(str(p), n) for p in paths for n in included_names(str(p), read_alone(str(p)))}
    shared = {str(path) for path in paths if path.name not in {*NAMES, "defaults.yaml"}}
    assert shared <= included


@pytest.mark.parametrize("name", [n for n in NAMES if Path(find_config(n)).parent.parent.name == "evaluate"])
def test_an_evaluation_names_its_classifier_and_no_model(name):
    """But for the grids, whose model is what a cell trains."""
    content = content_of(name)
    assert name in READERS or ("explanandum" in content) is ("model" not in content)
    assert "model" not in content or name.endswith(("_roar.yaml", "_layers.yaml"))


def test_there_is_a_config_for_each_data_set_and_classifier():
    wanted = {
        f"{d}_{n}{t}.yaml" for d in ("voc", "coco") for n in ("vgg16", "resnet50") for t in ("", "_classifier", "_rtis")
    }
    wanted |= {f"{d}_{n}_scratch.yaml" for d in ("voc", "coco") for n in ("vgg16", "resnet50")}
    wanted |= {f"voc_lite0{part}.yaml" for part in ("", "_classifier", "_rtis", "_deeplab", "_table2")}
    wanted |= {"shapes_small.yaml", "coco_lite0.yaml", "coco_lite0_classifier.yaml", "imagenet_lite0.yaml"}
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = "--model.init_args.explanandum.weights=null"
    whole = ["--model.init_args.trained=null", "--model.init_args.fresh=null"] if name in PARTS else []
    if "explained_by" in content_of(name)["model"]["init_args"]:  # its masks read another network
        whole += ["--model.init_args.explained_by=null"]
    train(["--config", name, *SMALL, weights, *whole, *tree(name, tmp_path), "--trainer.fast_dev_run=true"])
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", FINE_TUNED)
def test_fine_tuned_classifiers_run(name, tmp_path, monkeypatch):
    """From a classifier that is there, and with what is removed of its training images in its own mean colour."""
    monkeypatch.chdir(tmp_path)
    config = content_of(name)
    network = config["model"]["init_args"]["explanandum"]["network"]
    small = [*tree(name, tmp_path), "--trainer.fast_dev_run=true"]
    if network.startswith("checkpoints"):
        (tmp_path / "checkpoints").mkdir()
        save_classifier(tmp_path / network, classes=classes_of(name), multilabel=True)
    else:
        small += SMALL
    cli = train(["--config", name, *small])
    first = network
    while first.startswith("checkpoints"):
        config = content_of(config["explanandum_config"])
        first = config["model"]["init_args"]["explanandum"]["network"]
    removal = cli.datamodule.split("train").removal
    assert cli.datamodule.split("val").removal is None
    assert type(removal) is (SinglePatch if name.endswith("_single_patch.yaml") else RandomPixels)
    assert removal.colour == pytest.approx(Explanandum(first).mean_colour.flatten().tolist())


def classes_of(name):
    """Those of the data set's small tree."""
    known = {
        "shapes": shapes.CLASSES,
        "planted": shapes.CLASSES,
        "voc": voc.CLASSES,
        "imagenet": imagenet.class_names(),
        "imagenette": imagenet.class_names(),
        "fashion": FashionMNIST.classes,
    }
    return known.get(name.split("_")[0]) or [f"thing{n}" for n in range(80)]


RTIS_TWINS = ["coco_resnet50_rtis.yaml", "coco_vgg16_rtis.yaml", "voc_resnet50_rtis.yaml"]
SCRATCH_TWINS = [n for n in NAMES if n.endswith("_scratch.yaml")]
NO_EXPLAINERS = [
    *CLASSIFIERS,
    *FINE_TUNED,
    *GENERATIVE,
    *PLANTED,
    *VARIATIONS,
    *FILLED,
    *TABLES,
    *RTIS_TWINS,
    *SCRATCH_TWINS,
    *READERS,
    ATTENTION,
    "imagenet_lite0_methods.yaml",
]


@pytest.mark.parametrize("name", RTIS_TWINS)
def test_rtis_differs_from_the_explainer_in_loss_and_in_fill_alone(name):
    """So that running voc_vgg16_rtis.yaml is enough."""
    twin, own, first = (content_of(n) for n in (name, name.replace("_rtis", ""), "voc_vgg16_rtis.yaml"))
    for key in ("objective", "infill"):
        assert twin["model"]["init_args"].pop(key) == first["model"]["init_args"].pop(key)
    own["model"]["init_args"].pop("objective")
    assert twin == own


@pytest.mark.parametrize("name", SCRATCH_TWINS)
def test_from_scratch_differs_in_where_the_masker_begins_alone(name):
    """So that running the other one, without pretrained weights as below, is enough."""
    twin, own = (content_of(n) for n in (name, name.replace("_scratch", "")))
    assert twin["model"]["init_args"]["masker"].pop("encoder_weights") is None
    assert own["model"]["init_args"]["masker"].pop("encoder_weights") == "imagenet"
    assert twin == own


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NO_EXPLAINERS])
def test_explainers_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, small = content_of(name), tree(name, tmp_path)
    quick = [*small, "--trainer.fast_dev_run=true", "--gallery.images=2"]
    if name.startswith("shapes"):  # its encoder starts from the classifier's weights
        train(["--config", config["explanandum_config"], *small, "--trainer.max_epochs=1"])
    elif "explanandum_config" in config:
        (tmp_path / "checkpoints").mkdir()
        path = config["model"]["init_args"]["explanandum"]["network"]
        multilabel = name.startswith(("voc", "coco"))
        save_classifier(tmp_path / path, classes=classes_of(name), multilabel=multilabel)
    else:
        quick += [*SMALL, "--model.init_args.explanandum.num_classes=1000"]
    masker = config["model"]["init_args"]["masker"]
    own = masker.get("init_args", masker).get("encoder_weights")
    fits = name.startswith("shapes")  # elsewhere the small network's weights do not, and a test downloads none
    if own is not None and not fits:
        place = "masker.init_args" if "class_path" in masker else "masker"
        quick.append(f"--model.init_args.{place}.encoder_weights=null")
    if "masker_weights" in config["model"]["init_args"]:
        quick.append("--model.init_args.masker_weights=null")
    before = {p: p.stat().st_mtime for p in tmp_path.rglob("*.ckpt")}
    train(["--config", name, *quick])
    assert {p: p.stat().st_mtime for p in tmp_path.rglob("*.ckpt")} == before  # a quick run leaves nothing


@pytest.mark.parametrize("name", GENERATIVE)
def test_generative_networks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, small = content_of(name), tree(name, tmp_path)
    if "explanandum_config" in config:
        train(["--config", config["explanandum_config"], *SMALL, *small, "--trainer.max_epochs=1"])
    small += ["--model.init_args.network.width=4", "--trainer.fast_dev_run=true", "--pictures.images=2"]
    if "_vae" not in name:
        small += ["--model.init_args.critic_steps=1"]
    if "dcgan" in name:
        small += ["--model.init_args.network.image_size=32"]
    cli = train(["--config", name, *small])
    assert cli.trainer.global_step == 1
    assert not (tmp_path / "checkpoints" / name.replace(".yaml", ".ckpt")).exists()


@pytest.mark.parametrize("name", NAMES)
def test_configs_hold_what_the_published_runs_used(name):
    """The table of published settings, by name of the run."""
    published = {
        "voc_vgg16.yaml": (1e-5, 1.0, 1.0, 1.0, 0.1, 0.3, 5),
        "voc_resnet50.yaml": (1e-4, 3.0, 1.0, 0.8, 0.01, 0.3, 5),
        "coco_vgg16.yaml": (1e-5, 1.0, 0.3, 0.3, 0.03, 0.1, 2),
        "coco_resnet50.yaml": (1e-5, 3.0, 0.05, 0.1, 0.01, 0.03, 2),
    }
    if name not in published:
        assert "root" not in str(content_of(name).get("trainer"))
        return
    config = content_of(name)
    model, weights = config["model"]["init_args"], config["model"]["init_args"]["objective"]["init_args"]
    got = (model["optimizer"]["init_args"]["lr"], *(weights[k] for k in ("entropy", "tv", "bound", "target_area")))
    got += (weights["non_target_area"], config["trainer"]["callbacks"][0]["init_args"]["patience"])
    assert got == published[name]
    assert (weights["min_area"], weights["max_area"]) == (0.05, 0.3)


def test_data_from_a_file_of_its_own_is_evaluated_too(tmp_path, monkeypatch):
    """`data: FILE` is the parser's own way, in which the path comes along with the settings."""
    monkeypatch.chdir(tmp_path)
    small = tree("voc", tmp_path)
    config = content_of("voc_vgg16_classifier.yaml")
    (tmp_path / "pictures.yaml").write_text(yaml.safe_dump(config["data"]))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config | {"data": "pictures.yaml"}))
    train(["--config", "mine.yaml", *SMALL, "--model.init_args.explanandum.weights=null", *small,
           "--trainer.max_epochs=1"])  # fmt: skip
    quick = [a for a in small if a.startswith("--data")]
    content = evaluate(["--config", "mine.yaml", *quick, "--evaluation.report.gallery=2"])
    assert content["results"]["Ground truth"]["n"]["acc"] == 2
    assert set(content["facts"]["data"]) == {"class_path", "init_args"}


def test_a_bare_name_resolves_from_anywhere_and_overrides_follow_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = ExplainerCLI(["--config", "voc_vgg16.yaml", "--data.init_args.batch_size=3"], evaluating=True)
    assert cli.name == "voc_vgg16"
    assert (cli.config.data.init_args.batch_size, cli.config.data.init_args.year) == (3, "2007")
    assert cli.config.seed_everything == 42
    assert ROOT not in tmp_path.parents


def test_every_method_is_in_the_config_that_compares_them():
    cli = ExplainerCLI(["--config", "imagenet_lite0_methods.yaml"], evaluating=True)
    cli.build()
    methods = cli.evaluation.methods
    every = {c for c in vars(attribution).values() if inspect.isclass(c) and issubclass(c, Attribution)}
    abstract = {Attribution, attribution.Reference}
    elsewhere = {attribution.Explainer, attribution.Captum, attribution.Constant}  # need a checkpoint, or a method
    elsewhere |= {attribution.AttentionRollout, attribution.AttentionRelevance, attribution.LeGrad}  # of Transformers
    assert {type(method) for method in methods.values()} == every - abstract - elsewhere


def test_a_classifier_is_evaluated_as_its_config_builds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "imagenet_lite0_methods.yaml"
    methods = "{Random: {class_path: Random}, RISE: {class_path: RISE, init_args: {masks: 4, grid: 4}}}"
    arguments = ["--config", name, *SMALL_ALONE, "--explanandum.num_classes=1000", *tree(name, tmp_path),
                 f"--evaluation.methods={methods}", "--evaluation.report.gallery=1", "--evaluation.images.limit=2"]  # fmt: skip
    first = evaluate(arguments)
    assert set(first["results"]) == {"Original image", "Random", "RISE"}
    for entry in (first["results"]["Random"], first["results"]["RISE"]):
        assert 0 <= entry["scores"]["insertion"] <= 1
        assert 0 <= entry["scores"]["deletion"] <= 1
        assert entry["n"]["insertion"] == 2
    out = tmp_path / "results" / "imagenet_lite0_methods"
    assert (out / "gallery.png").is_file()
    assert len(list((out / "maps" / "RISE").glob("*/*.npz"))) == 2
    assert "Ins ↑" in (out / "table.md").read_text()
    assert "insertion" in (out / "per_image.csv").read_text().splitlines()[0]
    assert evaluate(arguments)["results"] == first["results"]  # everything is on disk


@pytest.mark.parametrize("name", VARIATIONS)
def test_variations_run(name, tmp_path, monkeypatch):
    """At the image size of the config, with the generator and the classifier that it names, untrained."""
    monkeypatch.chdir(tmp_path)
    content = content_of(name)
    (tmp_path / "checkpoints").mkdir()
    save_explainer(tmp_path / "checkpoints" / "shapes_small.ckpt", shapes.CLASSES, image_size=64)
    save_inpainter(tmp_path / "checkpoints" / "shapes_inpainting.ckpt", image_size=64)
    save_inpainter(tmp_path / "checkpoints" / "photographs_vae.ckpt", "vae", image_size=128)
    for source in content["experiment"]["init_args"]["sources"].values():
        if source["class_path"] == "LatentSearch":
            checkpoint = source["init_args"]["checkpoint"]
            save_generator(tmp_path / checkpoint, 64, shapes.CLASSES if "cdcgan" in checkpoint else ())
            source["init_args"] |= {"steps": 1}
        if not source["class_path"].endswith("Content"):  # an oracle has one variation
            source["init_args"]["count"] = 2
    network = [SMALL_ALONE[0], SMALL_ALONE[1].replace("4", "4, num_classes: 1000")]
    small = [a for a in tree(name, tmp_path) if "image_size" not in a] + (
        network if name.startswith("imagenet") else []
    )
    (tmp_path / name).write_text(yaml.safe_dump(content))
    arguments = [
        "--config",
        str(tmp_path / name),
        *small,
        "--evaluation.images.limit=1",
        "--experiment.init_args.alphas=[0.6]",
    ]
    monkeypatch.setattr("explainer.experiments.variations.loop.explained_class", lambda p, _: int(p.argmax()))
    results = evaluate([*arguments, "--evaluation.device=cpu"])["results"]
    assert set(results) == set(content["experiment"]["init_args"]["sources"])
    assert all(sizes["0.6"]["images"]["done"] == 1 for sizes in results.values())


@pytest.mark.parametrize("name", FILLED)
def test_evaluations_with_learned_in_fills_run(name, tmp_path, monkeypatch):
    """With every method the config names, each with fewer steps."""
    monkeypatch.chdir(tmp_path)
    kind = name.split("_")[0]
    classes = {"shapes": shapes.CLASSES, "imagenet": imagenet.class_names()}[kind]
    for network, file in (("inpainter", "inpainting"), ("vae", "vae")):
        for trained in (kind, f"{kind}_crops"):
            save_inpainter(tmp_path / "checkpoints" / f"{trained}_{file}.ckpt", network, classes=classes)
    arguments = ["--config", name, *(a for a in tree(name, tmp_path) if a.startswith("--data"))]
    arguments += ["--evaluation.report.gallery=0", "--evaluation.salient.held_out=4"]
    arguments += [f"--evaluation.images.limit={4 if name.endswith('_infills.yaml') else 1}"]
    if kind == "shapes":
        save_classifier(tmp_path / "checkpoints" / "shapes_small_classifier.ckpt", classes)
    else:
        arguments += [*SMALL_ALONE, "--explanandum.num_classes=1000", "--evaluation.salient.held_out_split=test"]
    if name.endswith("_fido.yaml"):
        config = content_of(name)["evaluation"]["methods"]
        save_explainer(tmp_path / config["Realtime"]["init_args"]["checkpoint"], classes=classes)
        if "small" in name:  # has the others' methods
            few = ("FIDO-CA, SSR", "FIDO-VAE, SDR", "Grad-CAM", "Gradient", "Deconvnet")
            config = {method: config[method] for method in few}
        for method in config.values():
            if method["class_path"] in ("FIDO", "BBMP"):
                method["init_args"] |= {"steps": 1, "grid": 4}
        arguments += ["--evaluation.methods", yaml.safe_dump(config)]
        arguments += [f"--evaluation.report.counterfactuals={int(kind == 'imagenet')}"]
    content = evaluate(arguments)
    if name.endswith("_fido.yaml"):
        assert content["results"]["FIDO-CA, SSR"]["n"]["WSL"] >= 1
        assert content["results"]["Bounding box"]["scores"]["WSL"] == 0
        assert {m for m, e in content["results"].items() if e.get("level")} == {"Grad-CAM", "Gradient", "Deconvnet"}
    else:
        assert content["results"]["CA"]["images"] >= 1


QUICK = {
    "GradCAM": {"layer": None},  # the layers of VGG-16 are not those of the small network
    "BBMP": {"steps": 1, "grid": 4}, "FIDO": {"steps": 1, "grid": 4, "samples": 2}, "RISE": {"masks": 4, "grid": 4},
    "ExtremalPerturbation": {"steps": 1, "areas": [0.3]}, "IGOS": {"iterations": 1, "integrated": 1, "grid": 4},
    "LIME": {"samples": 8, "segments": 4}, "EmpiricalMask": {"iterations": 5, "grid": 4, "chains": 1},
    "SmoothGrad": {"samples": 2}, "IntegratedGradients": {"steps": 2},
}  # fmt: skip


def quick(name, folder):
    """A config with every method that it names, each with fewer steps, and the checkpoints that it needs, untrained."""
    config = content_of(name)
    small = [a for a in tree(name, folder) if a.startswith("--data")]
    classes = classes_of(name)
    (folder / "checkpoints").mkdir(exist_ok=True)
    for path in set(re.findall(r"checkpoints/\w+\.ckpt", str(config))):
        kind = save_inpainter if "inpainting" in path else save_explainer
        if "classifier" in path or path.endswith(("_single_patch.ckpt", "_random_masking.ckpt")):
            kind = save_classifier
        kind(folder / path, classes=classes)
    if name.removesuffix(".yaml") in TWINS:
        config["evaluation"]["methods"] = dict([*config["evaluation"]["methods"].items()][:2])
    for method in config["evaluation"]["methods"].values():
        method["init_args"] = method.get("init_args", {}) | QUICK.get(method["class_path"], {})
    return config, [*small, f"--evaluation.methods={yaml.safe_dump(config['evaluation']['methods'])}"]


@pytest.mark.parametrize("name", TABLES)
def test_the_papers_tables_run(name, tmp_path, monkeypatch):
    """With every metric and probe that the config names."""
    monkeypatch.chdir(tmp_path)
    whole = content_of(name)["evaluation"]["methods"]
    config, arguments = quick(name, tmp_path)
    if not config["explanandum"]["network"].startswith("checkpoints"):
        arguments += [*SMALL_ALONE, "--explanandum.num_classes=1000", "--explanandum.weights=null"]
    if name.startswith("coco_lite0"):
        arguments.append("--evaluation.class_matrix.classes=[thing3, thing16]")
    if name.startswith("coco") and name.endswith("_empirical.yaml"):
        arguments.append("--evaluation.images.one_label=false")
    arguments += ["--evaluation.images.limit=1", "--evaluation.report.gallery=0", "--evaluation.salient.held_out=1"]
    content = evaluate(
        ["--config", name, *arguments, "--evaluation.salient.held_out_split=test", "--evaluation.report.page=false"]
    )
    methods = config["evaluation"]["methods"]
    assert set(methods) <= set(content["results"])
    assert content["failed"] == {}
    said = config["evaluation"].get("report", {}).get("published")
    assert (content["published"] is None) == (not said or "rows" not in said)
    named = {*whole, "Ground truth", "Bounding box", "RTIS"}
    assert said is None or set(said.get("rows", {})) <= named
    text = (tmp_path / "results" / name.replace(".yaml", "") / "table.md").read_text()
    assert ("(paper)" in text) == (content["published"] is not None)
    asked = config["evaluation"].get("class_matrix", {}).get("methods")
    if asked:
        ours = {n for n in content["matrix"] if "(paper)" not in n}
        assert ours == set(methods if asked is True else asked)


@pytest.mark.parametrize("name", PLANTED)
def test_evaluations_of_planted_scenes_run(name, tmp_path, monkeypatch):
    """With every metric that the config names, and a few of the methods but for one of the configs."""
    monkeypatch.chdir(tmp_path)
    config, arguments = quick(name, tmp_path)
    methods = config["evaluation"]["methods"]
    if name != "planted_mark_methods.yaml":
        methods = {method: methods[method] for method in ("Gradient", "Random")}
        arguments[-1] = f"--evaluation.methods={yaml.safe_dump(methods)}"
    small = ["--evaluation.images.limit=2", "--evaluation.report.gallery=0", "--evaluation.salient.held_out=1"]
    content = evaluate(["--config", name, *arguments, *small, "--evaluation.report.page=false"])
    assert content["failed"] == {}
    assert set(methods) <= set(content["results"])
    assert content["results"]["Gradient"]["n"]["Parts"] == 2
    assert set(config["evaluation"]["metrics"]) <= set(content["columns"])


def test_methods_of_planted_scenes_are_many_and_bad_ones_are_among_them():
    methods = content_of("planted_mark_methods.yaml")["evaluation"]["methods"]
    assert len(methods) >= 14
    assert {"Random", "Centred box", "Constant 0.5"} <= set(methods)
    for kind in ("plain", "mark", "border", "watermark"):
        retrained = content_of(f"planted_{kind}_roar.yaml")["experiment"]["init_args"]["methods"]
        assert set(retrained) <= set(methods)
        assert {"Random", "Centred box"} <= set(retrained)


def test_methods_that_read_attention_run_beside_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    config = content_of(ATTENTION)
    network = content_of(config["explanandum_config"])["model"]["init_args"]["explanandum"]
    narrow = network["network_args"] | {"embed_dim": 8, "num_heads": 2}
    explanandum = Explanandum(network["network"], network_args=narrow, num_classes=6, multilabel=True)
    path = tmp_path / config["explanandum"]["network"]
    save_explanandum(explanandum, path, shapes.CLASSES, multilabel=True, image_size=64)
    methods = config["evaluation"]["methods"]
    for method in methods.values():
        method["init_args"] = method.get("init_args", {}) | QUICK.get(method["class_path"], {})
    few = ["--evaluation.images.limit=2", "--evaluation.salient.held_out=1", "--evaluation.report.gallery=0"]
    few += ["--data.init_args.test_images=40", f"--evaluation.methods={yaml.safe_dump(methods)}"]
    content = evaluate(["--config", ATTENTION, *few, "--evaluation.report.page=false"])
    assert content["failed"] == {}
    assert set(methods) <= set(content["results"])


def test_a_table_of_claims_says_what_was_not_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = evaluate(["--config", "claims.yaml"])
    assert {entry["verdict"] for entry in content["claims"]} == {"not measured"}


def test_every_metric_is_in_the_config_of_shapes():
    config = content_of("shapes_methods.yaml")["evaluation"]
    every = {c.__name__ for c in vars(metrics).values() if inspect.isclass(c) and issubclass(c, metrics.ImageMetric)}
    always = {"SoftAccuracy", "SoftIoU", "MaskMAE", "SaliencyMetric"}  # columns of every evaluation
    of_parts = {"PartDeletion"}  # of scenes that can be rendered again
    assert {metric["class_path"] for metric in config["metrics"].values()} == every - {
        "ImageMetric"
    } - always - of_parts
    planted = content_of("planted_mark_methods.yaml")["evaluation"]["metrics"]
    assert of_parts <= {metric["class_path"] for metric in planted.values()}
    asked = {check["class_path"] for check in config["sanity_checks"]["checks"].values()}
    every = {c.__name__ for c in vars(probes).values() if inspect.isclass(c) and issubclass(c, probes.SanityCheck)}
    assert asked == every - {"SanityCheck", "Retrained"}  # that one takes a checkpoint of its own
    assert len(config["methods"]) >= 10


def test_the_page_of_tables_names_configs_that_there_are_and_all_of_these():
    page = (ROOT / "docs" / "reference" / "tables.md").read_text()
    commands = re.findall(r"python evaluate.py --config (\w+\.yaml)", page)
    assert set(commands) <= set(NAMES)
    named = set(commands)
    for form in re.findall(r"`([\w{},]+_\w+\.yaml)`", page):
        parts = [part.strip("{}").split(",") for part in re.findall(r"\{[^}]*\}|[^{}]+", form)]
        found = {"".join(words) for words in itertools.product(*parts)}
        assert found <= set(NAMES), form
        named |= found
    assert set(TABLES) <= named
    assert {n for n in NAMES if "published" in content_of(n).get("evaluation", {})} <= named

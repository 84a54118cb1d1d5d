"""Bad inputs, over every command: status 2, one line that names what is wrong, and nothing of earlier work lost."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.support import tiny_runs, trees
from tests.support.bad_inputs import evaluates, explains, loads, refused, trains, trains_on


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(cases):
    return pytest.mark.parametrize("case", cases, ids=[case[0] for case in cases])


# --- settings of train.py ------------------------------------------------------------------------------------------
SETTINGS = [
    ("--model.init_args.learning_rat=1", "learning_rat"),
    ("--trainer.max_epoch=3", "max_epoch"),
    ("--data.init_args.rot=x", "rot"),
    ("--nam=x", "nam"),
    ("--trainer.max_epochs=x", r"trainer\.max_epochs.*int.*'x'"),
    ("--trainer.max_epochs=0", "max_epochs"),
    ("--trainer.max_epochs=-3", r"max_epochs.*-3"),
    ("--trainer.max_steps=-5", r"max_steps.*-5"),
    ("--trainer.max_steps=0", "max_steps"),
    ("--trainer.limit_train_batches=0", "limit_train_batches"),
    ("--trainer.limit_train_batches=-1", "limit_train_batches"),
    ("--trainer.limit_val_batches=0", "limit_val_batches"),
    ("--trainer.val_check_interval=0", "val_check_interval"),
    ("--trainer.val_check_interval=-1", "val_check_interval"),
    ("--trainer.val_check_interval=99999", "val_check_interval.*8 batches"),
    ("--trainer.accumulate_grad_batches=0", "accumulate_grad_batches"),
    ("--trainer.check_val_every_n_epoch=0", "check_val_every_n_epoch"),
    ("--trainer.check_val_every_n_epoch=5", "check_val_every_n_epoch"),
    ("--trainer.gradient_clip_val=-1", "gradient_clip_val"),
    ("--trainer.gradient_clip_val=nan", "gradient_clip_val"),
    ("--trainer.fast_dev_run=-1", "fast_dev_run"),
    ("--trainer.log_every_n_steps=-1", "log_every_n_steps"),
    ("--trainer.enable_checkpointing=false", "enable_checkpointing"),
    ("--trainer.devices=0", "devices"),
    ("--trainer.devices=99", r"devices.*99.*cores"),
    ("--trainer.devices=many", "devices"),
    ("--trainer.accelerator=gpu", "gpu|accelerator"),
    ("--trainer.accelerator=cuda", "cuda|accelerator"),
    ("--trainer.accelerator=foo", "foo"),
    ("--trainer.strategy=foo", "foo"),
    ("--trainer.precision=7", "precision"),
    ("--trainer.logger=7", "logger"),
    ("--seed_everything=-5", "seed_everything.*-5"),
    ("--seed_everything=1099511627776", "seed_everything"),
    ("--seed_everything=x", "seed_everything"),
    ("--name=..", "--name"),
    ("--name=.", "--name"),
    ("--name=../x", "--name"),
    ("--name=/tmp/abs", "--name"),
    ("--name=a//b", "--name"),
    ("--name=" + "n" * 300, "--name is too long"),
    ("--name=a\nb", "--name"),
    ("--ckpt_path=none.ckpt", r"none\.ckpt"),
    ("--ckpt_path=.", "no file"),
    ("--model=Clasifier", "Clasifier.*did you mean Classifier"),
    ("--model.class_path=os.system", "os.system"),
    ("--model.init_args.optimizer.class_path=torch.optim.Adm", "Adm"),
    ("--model.init_args.optimizer.init_args.lr=abc", "lr"),
    ("--model.init_args.optimizer.init_args.lr=-1", "learning rate.*-1"),
    ("--model.init_args.optimizer.init_args.lr=nan", "lr.*nan"),
    ("--model.init_args.optimizer.init_args.lrr=1", "lrr"),
    ("--model.init_args.explanandum.network=nope", "nope"),
    ("--model.init_args.explanandum.network=timm/nope", "nope"),
    ("--model.init_args.explanandum.network=explainer.networks.small.nope", "nope"),
    ("--model.init_args.explanandum.network=missing.ckpt", r"missing\.ckpt"),
    ("--model.init_args.explanandum.network_args.width=0", "width|small_cnn"),
    ("--model.init_args.explanandum.network_args.width=2.5", "width|small_cnn"),
    ("--model.init_args.explanandum.network_args.nope=1", "nope"),
    ("--model.init_args.explanandum.mean=[1,2]", "mean"),
    ("--model.init_args.explanandum.std=[0,0,0]", "std"),
    ("--model.init_args.explanandum.num_classes=-3", "num_classes"),
    ("--model.init_args.explanandum.num_classes=0", "num_classes"),
    ("--model.init_args.explanandum.taps=[nope]", "nope"),
    ("--model.init_args.explanandum.weights=nope", "nope"),
    ("--model.init_args.explanandum.weights=nope.pth", r"nope\.pth"),
    ("--data.class_path=Nope", "Nope"),
    ("--data.class_path=Shape", "did you mean Shapes"),
    ("--data.init_args.image_size=1", "image_size"),
    ("--data.init_args.image_size=0", "image_size"),
    ("--data.init_args.image_size=-5", "image_size"),
    ("--data.init_args.image_size=big", r"image_size.*'big'"),
    ("--data.init_args.image_size=100000", "image_size|memory"),
    ("--data.init_args.batch_size=0", "batch_size"),
    ("--data.init_args.num_workers=-1", "num_workers"),
    ("--data.init_args.flip=2", "flip"),
    ("--data.init_args.flip=-1", "flip"),
    ("--data.init_args.flip=nan", "flip"),
    ("--data.init_args.erase=7", "erase"),
    ("--data.init_args.blank=7", "blank"),
    ("--data.init_args.seed=-1", "seed"),
    ("--data.init_args.scene_seed=-1", "scene_seed"),
    ("--data.init_args.train_images=0", "train"),
    ("--data.init_args.val_images=0", "val"),
    ("--data.init_args.train_images=-4", "train"),
    ("--resume.every_n_steps=0", "every_n_steps"),
    ("--resume.every_n_steps=-1", "every_n_steps"),
    ("--gallery.images=-1", "gallery.*images|images"),
    ("--saliency.images=-1", "images"),
    ("--saliency.every_n_steps=-5", "every_n_steps"),
    ("--saliency.weights=[1]", "weights"),
    ("--config=missing.yaml", r"missing\.yaml"),
    ("--config=.", "config"),
    ("--config=" + "c" * 5000, "config"),
    ("--trainer={a: [", "trainer"),
    ("--evaluation.images.split=foo", "split.*foo"),
]


@table(SETTINGS)
def test_settings_of_a_training(case):
    argument, words = case
    refused(trains(argument), words)


EXPLAINER_SETTINGS = [
    ("--model.init_args.masker.encoder=tu-unknown", "unknown"),
    ("--model.init_args.masker.encoder=nope", "nope"),
    ("--model.init_args.masker.architecture=Nope", "Nope"),
    ("--model.init_args.masker.architecture=os", "os"),
    ("--model.init_args.masker.arguments.decoder_channels=-1", "decoder_channels|masker"),
    ("--model.init_args.masker.arguments.nope=1", "nope"),
    ("--model.init_args.masker.encoder_weights=nope.pth", r"nope\.pth"),
    ("--model.init_args.objective.init_args.min_area=0.9", "area"),
    ("--model.init_args.objective.init_args.max_area=7", "area"),
    ("--model.init_args.objective.init_args.entropy=-1", "entropy"),
    ("--model.init_args.objective.class_path=Nope", "Nope"),
    ("--model.init_args.optimizer.init_args.lr=-1", "learning rate"),
    ("--data.init_args.image_size=1", "image_size"),
    ("--ckpt_path=last", "nothing to go on with"),
    ("--trainer.val_check_interval=99999", "val_check_interval"),
]


@table(EXPLAINER_SETTINGS)
def test_settings_of_an_explainer_are_refused_before_its_classifier_is_trained(case):
    argument, words = case
    tiny_runs.classifier_config()
    refused(trains(argument, config=tiny_runs.explainer_config()), words)
    assert not Path("checkpoints/tiny_classifier.ckpt").exists()


def test_a_config_that_is_its_own_classifiers():
    Path("a.yaml").write_text("explanandum_config: b.yaml\n")
    Path("b.yaml").write_text("explanandum_config: a.yaml\n")
    refused(trains("--explanandum_config=a.yaml", config=tiny_runs.explainer_config()), "comes back to itself")


YAML = [
    ("two keys", b"model: 1\nmodel: 2\n", "'model' stands twice"),
    ("syntax", b"model: [1,\nfoo: }\n", "YAML"),
    ("list", b"- a\n- b\n", "no settings"),
    ("text", b"hello", "no settings"),
    ("empty", b"", "no settings"),
    ("latin-1", "name: Kühe\n".encode("latin-1"), r"not UTF-8 \(line 1\)"),
    ("utf-16 without a mark", "name: x\n".encode("utf-16-le"), "UTF-8|YAML|no settings"),
    ("binary", bytes(range(256)), "UTF-8|YAML"),
    ("python tag", b"name: !!python/object/apply:os.mkdir [ran]\n", "python/object|constructor|YAML"),
    ("holds itself", b"model: &m {init_args: *m}\n", "alias holds itself"),
    ("aliases multiply", b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(9)), "aliases"),
    ("deep", b"a: " + b"[" * 5000 + b"]" * 5000, "nested|YAML"),
    ("unknown key", b"trainr: {max_epochs: 1}\n", "trainr"),
    ("a folder", None, "not a file"),
]  # fmt: skip


@table(YAML)
def test_yaml(case):
    _, content, words = case
    if content is None:
        Path("x.yaml").mkdir()
    else:
        Path("x.yaml").write_bytes(content)
    refused(trains(config="x.yaml"), words)
    assert not Path("ran").exists()


def test_a_pipe_as_config():
    os.mkfifo("x.yaml")
    refused(trains(config="x.yaml"), "not a file")


def test_a_network_whose_module_has_a_syntax_error(monkeypatch, tmp_path):
    Path("broken_module.py").write_text("def net(:\n")
    Path("raising_module.py").write_text("def net():\n    raise ZeroDivisionError('mine')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("broken_module.net", "raising_module.net"):
        refused(trains(f"--model.init_args.explanandum={{network: {name}}}"), name.partition(".")[0])


# --- data sets -----------------------------------------------------------------------------------------------------
def after(*steps):
    """The last of some steps, all of which were done."""
    return steps[-1]


def own(change, **options):
    """A training on a folder of images that `change` has spoilt."""
    trees.folder_tree("own", count=6)
    change(Path("own"))
    return trains_on("Folder", root="own", **options)


def every(content, pattern="*/*.png"):
    def change(root):
        for path in root.glob(pattern):
            path.write_bytes(content(path) if callable(content) else content)

    return change


def truncated(path):
    return path.read_bytes()[:60]


def masks(make, **options):
    def command():
        def change(root):
            for path in [*root.glob("cat/*.png"), *root.glob("dog/*.png")]:
                target = Path("masks") / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                make(target)

        return own(change, masks=str(Path("masks").absolute()), **options)

    return command


def rgb_mask(path):
    Image.effect_noise((40, 30), 50).convert("RGB").point(lambda v: v).save(path)
    noise = Image.merge("RGB", [Image.effect_noise((40, 30), 50) for _ in range(3)])
    noise.save(path)


FOLDERS = [
    ("missing", lambda: trains_on("Folder", root="nowhere"), "nowhere"),
    ("empty", lambda: own(lambda root: shutil.rmtree(root) or root.mkdir()), "no images in own"),
    ("a file", lambda: after(Path("own").write_text("x"), trains_on("Folder", root="own")), "own"),
    ("all zero bytes", lambda: own(every(b"")), r"\.png"),
    ("all text", lambda: own(every(b"hello")), r"\.png"),
    ("all truncated", lambda: own(every(truncated)), r"\.png"),
    ("one class", lambda: own(lambda root: shutil.rmtree(root / "dog")), "same class"),
    ("class_names of others", lambda: own(lambda root: None, class_names=["cat", "cow"]), "dog"),
    ("class_names twice", lambda: own(lambda root: None, class_names=["cat", "dog", "cat"]), "class_names"),
    ("no folder of masks", lambda: own(lambda root: None, masks="nowhere"), "masks|nowhere"),
    ("masks RGB", masks(rgb_mask), r"\.png"),
    ("masks text", masks(lambda path: path.write_text("hello")), r"\.png"),
    ("masks truncated", masks(lambda path: (trees.photo(path, mode="L"), path.write_bytes(truncated(path)))), r"\.png"),
    ("masks of class 77", masks(lambda path: Image.new("L", (40, 30), 77).save(path)), r"77.*\.png|\.png.*77"),
]  # fmt: skip


@table(FOLDERS)
def test_folders(case):
    _, arrange, words = case
    refused(arrange(), words)


def listed(content, name="x.csv"):
    def command():
        trees.folder_tree("own", count=6)
        Path("own", name).write_bytes(content.encode() if isinstance(content, str) else content)
        return trains_on("Folder", root="own", csv=name)

    return command


def rows(*lines, header="path,labels,split"):
    return "\n".join([header, *lines]) + "\n"


GOOD = [f"{c}/{k}.png,{c},{s}" for c in ("cat", "dog") for k, s in enumerate(("train",) * 4 + ("val", "test"))]
CSVS = [
    ("missing", lambda: after(trees.folder_tree("own"), trains_on("Folder", root="own", csv="no.csv")), r"no\.csv"),
    ("empty", listed(""), "path"),
    ("only a header", listed(rows()), "csv"),
    ("no path", listed(rows(*GOOD, header="file,labels,split")), "'path' is missing"),
    ("no labels", listed(rows(*GOOD, header="path,label,split")), "'labels' is missing"),
    ("latin-1", listed("path,labels\nKühe.png,a\n".encode("latin-1")), r"not UTF-8 \(line 2\)"),
    ("binary", listed(bytes(range(256))), "csv"),
    ("field of 200 kB", listed(rows(f"{'x' * 200_000},cat,train")), "csv"),
    ("an image is missing", listed(rows(*GOOD, "nope.png,cat,train")), r"line 14.*nope\.png"),
    ("an unknown split", listed(rows(*GOOD[:-1], "dog/5.png,dog,tset")), "tset"),
    ("a row without a split", listed(rows(*GOOD[:-1], "dog/5.png,dog,")), r"line 13.*split|split.*line 13"),
    ("all labels empty", listed(rows(*(line.replace(",cat,", ",,").replace(",dog,", ",,") for line in GOOD))), "label"),
    ("a path outside", listed(rows(*GOOD, "../../etc/passwd,cat,train")), "passwd"),
    ("a pipe",
     lambda: after(trees.folder_tree("own"), os.mkfifo("own/p.csv"), trains_on("Folder", root="own", csv="p.csv")),
     r"p\.csv"),
]  # fmt: skip


@table(CSVS)
def test_csvs(case):
    _, arrange, words = case
    refused(arrange(), words)


def coco(change, parts=("train", "val")):
    """A training on COCO's layout with an annotation file that `change` has spoilt."""

    def command():
        trees.coco_tree("coco")
        for part in parts:
            path = Path(f"coco/annotations/instances_{part}2014.json")
            content = json.loads(path.read_text())
            changed = change(content)
            path.write_text(json.dumps(content if changed is None else changed))
        return trains_on("COCO", root="coco")

    return command


def raw_coco(content):
    def command():
        trees.coco_tree("coco")
        Path("coco/annotations/instances_train2014.json").write_bytes(content)
        return trains_on("COCO", root="coco")

    return command


def annotation(**changes):
    return coco(lambda content: content["annotations"][0].update(changes))


def image(**changes):
    return coco(lambda content: content["images"][0].update(changes))


COCOS = [
    ("missing", lambda: trains_on("COCO", root="nowhere"), "nowhere"),
    ("empty file", raw_coco(b""), "instances_train2014"),
    ("not JSON", raw_coco(b"{"), "instances_train2014"),
    ("a list", raw_coco(b"[]"), "instances_train2014"),
    ("binary", raw_coco(bytes(range(256))), "instances_train2014"),
    ("deep", raw_coco(b"[" * 100_000), "instances_train2014"),
    ("no images", coco(lambda c: c.pop("images") and None), "images"),
    ("no annotations", coco(lambda c: c.pop("annotations") and None), "annotations"),
    ("no categories", coco(lambda c: c.pop("categories") and None), "categories"),
    ("an image without file_name", coco(lambda c: c["images"][0].pop("file_name") and None), "file_name"),
    ("an image without id", coco(lambda c: c["images"][0].pop("id") and None), "id"),
    ("file_name a number", image(file_name=7), "file_name"),
    ("file_name twice",
     coco(lambda c: c["images"][1].update(file_name=c["images"][0]["file_name"])), "twice|file_name"),
    ("image id twice", coco(lambda c: c["images"][1].update(id=c["images"][0]["id"])), "id"),
    ("width negative", image(width=-40), "-40 x 30"),
    ("width huge", image(width=10**6, height=10**6), "width|size|pixels"),
    ("category without name", coco(lambda c: c["categories"][0].pop("name") and None), "name"),
    ("category name a number", coco(lambda c: c["categories"][0].update(name=7)), "name"),
    (
        "category name twice",
        coco(lambda c: c["categories"][1].update(name=c["categories"][0]["name"])),
        "two classes.*thing0",
    ),
    ("category id twice", coco(lambda c: c["categories"][1].update(id=c["categories"][0]["id"])), "id|categor"),
    ("unknown category", annotation(category_id=999), "999"),
    ("category_id a string", annotation(category_id="x"), "category x"),
    ("bbox of 3", annotation(bbox=[1, 2, 3]), "bbox"),
    ("bbox of strings", annotation(bbox=["a", "b", "c", "d"]), "bbox"),
    ("bbox NaN", annotation(bbox=[float("nan")] * 4), "box.*nan"),
    ("bbox infinite", annotation(bbox=[0, 0, float("inf"), 3]), "box.*inf"),
    ("bbox outside", annotation(bbox=[500, 500, 10, 10]), "box.*outside"),
    ("polygon of strings", annotation(segmentation=[["a"] * 8]), "segmentation"),
    ("polygon NaN", annotation(segmentation=[[float("nan")] * 8]), "polygon"),
    ("RLE of another size", annotation(segmentation={"size": [7, 7], "counts": [49]}), "7 x 7"),
    ("RLE huge", annotation(segmentation={"size": [10**5, 10**5], "counts": [10**10]}), "100000 x 100000"),
    ("RLE negative", annotation(segmentation={"size": [30, 40], "counts": [-5, 1205]}), "run lengths"),
    ("RLE garbage", annotation(segmentation={"size": [30, 40], "counts": "!!garbage!!"}), "run lengths"),
    ("segmentation a number", annotation(segmentation=7), "segmentation"),
    ("no folder of images",
     lambda: after(coco(lambda c: None)(), shutil.rmtree("coco/train2014"), trains_on("COCO", root="coco")),
     "train2014"),
    ("no image is there",
     lambda: after(coco(lambda c: None)(), [p.unlink() for p in Path("coco/train2014").iterdir()],
     trains_on("COCO", root="coco")), r"\.jpg"),
]  # fmt: skip


@table(COCOS)
def test_coco(case):
    _, arrange, words = case
    refused(arrange(), words)


def voc(change, **options):
    def command():
        trees.voc_tree("voc")
        change(Path("voc/VOCdevkit/VOC2007"))
        return trains_on("VOC", root="voc", **options)

    return command


def xml(old, new, name="000001"):
    def change(folder):
        path = folder / "Annotations" / f"{name}.xml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return voc(change)


LAUGHS = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>" + "".join(
    f"<!ENTITY {chr(99 + i)} '{f'&{chr(98 + i)};' * 10}'>" for i in range(9)
) + "]><annotation>&k;</annotation>"  # fmt: skip
VOCS = [
    ("no list", voc(lambda f: (f / "ImageSets/Main/train.txt").unlink()), r"train\.txt"),
    ("list not UTF-8",
     voc(lambda f: (f / "ImageSets/Main/train.txt").write_bytes(b"\xff\xfe\xfd00001\n")), r"train\.txt|UTF"),
    ("list empty", voc(lambda f: (f / "ImageSets/Main/train.txt").write_text("")), "train"),
    ("list binary", voc(lambda f: (f / "ImageSets/Main/train.txt").write_bytes(bytes(range(128, 256)))), r"train\.txt"),
    ("no annotation", voc(lambda f: (f / "Annotations/000001.xml").unlink()), r"000001\.xml"),
    ("annotation empty", voc(lambda f: (f / "Annotations/000001.xml").write_text("")), r"000001\.xml"),
    ("billion laughs", voc(lambda f: (f / "Annotations/000001.xml").write_text(LAUGHS)), r"000001\.xml"),
    ("unknown encoding",
     voc(lambda f: (f / "Annotations/000001.xml").write_text('<?xml version="1.0" encoding="foo-9"?><a/>')),
     r"000001\.xml"),
    ("unknown class", xml("<name>bicycle</name>", "<name>tree</name>"), "tree"),
    ("NaN", xml("<xmin>1</xmin>", "<xmin>nan</xmin>"), r"000001\.xml"),
    ("infinite", xml("<xmax>20</xmax>", "<xmax>inf</xmax>"), r"000001\.xml"),
    ("a corner is missing", xml("<xmin>1</xmin>", ""), r"000001\.xml"),
    ("width negative", xml("<width>40</width>", "<width>-40</width>"), r"000001\.xml"),
    ("outside", xml("<xmin>1</xmin><ymin>1</ymin><xmax>20</xmax>", "<xmin>900</xmin><ymin>1</ymin><xmax>990</xmax>"),
     r"000001\.xml"),
    ("no image is there", voc(lambda f: [p.unlink() for p in (f / "JPEGImages").iterdir()]), r"\.jpg|000001"),
]  # fmt: skip


@table(VOCS)
def test_voc(case):
    _, arrange, words = case
    refused(arrange(), words)


def fashion(change):
    def command():
        trees.fashion_tree("fashion")
        change(Path("fashion"))
        return trains_on("SmallImages", root="fashion", image_size=28)

    return command


OTHER_SETS = [
    ("ImageNet missing", lambda: trains_on("ImageNet", root="nowhere"), "nowhere"),
    ("ImageNet, an unknown wnid",
     lambda: after(trees.imagenet_tree("in"), trees.photo(Path("in/train/cats/a.JPEG")),
     trains_on("ImageNet", root="in")), "cats"),
    ("ImageNet, val_fraction 2",
     lambda: after(trees.imagenet_tree("in"), trains_on("ImageNet", root="in", val_fraction=2.0)),
     "val_fraction"),
    ("gz truncated", fashion(lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(
        (f / "train-images-idx3-ubyte.gz").read_bytes()[:100])), "train-images"),
    ("gz is text", fashion(lambda f: (f / "train-images-idx3-ubyte.gz").write_text("hello")), "train-images"),
    ("crops 0", lambda: after(trees.imagenet_tree("in"), trains_on("ImageNetCrops", root="in", crops=0)), "crops"),
]  # fmt: skip


@table(OTHER_SETS)
def test_other_sets(case):
    _, arrange, words = case
    refused(arrange(), words)


# --- checkpoints ---------------------------------------------------------------------------------------------------
def spec(**changes):
    return lambda content: content["explainer"].update(changes)


def without(name):
    return lambda content: content["explainer"].pop(name) and None


def inner(part, **changes):
    return lambda content: content["explainer"][part].update(changes)


def first_weight(make):
    def change(content):
        name = next(n for n, v in content["state_dict"].items() if v.is_floating_point() and v.ndim > 1)
        content["state_dict"][name] = make(content["state_dict"][name])

    return change


CHECKPOINTS = [
    ("explainer is None", lambda c: c.update(explainer=None)),
    ("explainer is {}", lambda c: c.update(explainer={})),
    ("explainer is a list", lambda c: c.update(explainer=[])),
    ("state_dict is None", lambda c: c.update(state_dict=None)),
    ("state_dict is a list", lambda c: c.update(state_dict=[])),
    ("state_dict has numbers", lambda c: c["state_dict"].update({7: torch.ones(1)})),
    ("a bare state dict", lambda c: c["state_dict"]),
    *((f"no {name}", without(name)) for name in ("kind", "classes", "multilabel", "image_size", "explanandum")),
    ("no masker", without("masker")),
    ("kind is foo", spec(kind="foo")),
    ("kind is a classifier", spec(kind="classifier")),
    ("version 99", spec(version="99")),
    ("classes are None", spec(classes=None)),
    ("classes are numbers", spec(classes=[1, 2, 3])),
    ("classes twice", spec(classes=["a", "a", "b"])),
    ("classes are a string", spec(classes="abc")),
    ("classes are none", spec(classes=[])),
    ("one class more", spec(classes=["a", "b", "c", "d"])),
    ("a hundred thousand classes", spec(classes=[str(i) for i in range(10**5)])),
    ("multilabel is a string", spec(multilabel="yes")),
    ("image_size 0", spec(image_size=0)),
    ("image_size -5", spec(image_size=-5)),
    ("image_size '32'", spec(image_size="32")),
    ("image_size 2.5", spec(image_size=2.5)),
    ("image_size None", spec(image_size=None)),
    ("image_size 10**9", spec(image_size=10**9)),
    ("explanandum is None", spec(explanandum=None)),
    ("explanandum is text", spec(explanandum="vgg16")),
    ("masker is None", spec(masker=None)),
    *((f"explanandum without {name}", lambda c, n=name: c["explainer"]["explanandum"].pop(n) and None)
      for name in ("network",)),
    ("network is a number", inner("explanandum", network=7)),
    ("network is os.system", inner("explanandum", network="os.system", network_args={"command": "touch ran"})),
    ("network is train", inner("explanandum", network="explainer.cli.train.train", network_args={"args": ["--help"]})),
    ("network is build_network", inner("explanandum", network="explainer.networks.build.build_network",
     network_args={"name": "os.system", "arguments": {"command": "touch ran"}})),
    ("network of a hub", inner("explanandum", network="timm/hf-hub:evil/model")),
    ("network is another checkpoint", inner("explanandum", network="other.ckpt")),
    ("network_args are a list", inner("explanandum", network_args=[1])),
    ("network_args too large", inner("explanandum", network_args={"width": 10**9})),
    ("mean of 2", inner("explanandum", mean=[0.5, 0.5])),
    ("mean of strings", inner("explanandum", mean=["a", "b", "c"])),
    ("std of strings", inner("explanandum", std=["a", "b", "c"])),
    ("std 0", inner("explanandum", std=[0.0, 0.0, 0.0])),
    ("mean NaN", inner("explanandum", mean=[float("nan")] * 3)),
    ("taps of numbers", inner("explanandum", taps=[1, 2])),
    ("taps unknown", inner("explanandum", taps=["nope"])),
    ("masker with another key", inner("masker", foo=1)),
    ("encoder is a number", inner("masker", encoder=7)),
    ("encoder of a hub", inner("masker", encoder="tu-hf-hub:evil/model")),
    ("encoder unknown", inner("masker", encoder="nope")),
    ("architecture is no network", inner("masker", architecture="from_pretrained")),
    ("masker's arguments are a list", inner("masker", arguments=[1])),
    ("masker's arguments too large", inner("masker", arguments={"encoder_depth": 3, "decoder_channels": 10**9})),
    ("a weight is text", first_weight(lambda w: "x")),
    ("a weight is None", first_weight(lambda w: None)),
    ("a weight is sparse", first_weight(lambda w: w.to_sparse())),
    ("a weight is meta", first_weight(lambda w: w.to("meta"))),
    ("a weight is complex", first_weight(lambda w: w.to(torch.complex64))),
    ("a weight is NaN", first_weight(lambda w: w * float("nan"))),
    ("a weight is infinite", first_weight(lambda w: w + float("inf"))),
    ("a weight has another shape", first_weight(lambda w: w[:, :1])),
    ("a weight is expanded", first_weight(lambda w: torch.zeros(1).expand(10**12))),
    ("a weight is missing", lambda c: c["state_dict"].pop(next(iter(c["state_dict"]))) is None),
]  # fmt: skip


@table(CHECKPOINTS)
def test_checkpoints(case):
    change = case[1]
    refused(
        loads(lambda content: (lambda found: found if isinstance(found, dict) else None)(change(content))), r"x\.ckpt"
    )
    assert not Path("ran").exists()


FILES = [
    ("missing", lambda path: path.unlink()),
    ("a folder", lambda path: (path.unlink(), path.mkdir())),
    ("empty", lambda path: path.write_bytes(b"")),
    ("text", lambda path: path.write_text("hello")),
    ("truncated", lambda path: path.write_bytes(path.read_bytes()[:5000])),
    ("zeros in the middle", lambda path: path.write_bytes(
        (lambda b: b[: len(b) // 2] + bytes(4096) + b[len(b) // 2 + 4096 :])(path.read_bytes()))),
    ("one bit", lambda path: path.write_bytes(
        (lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 1]) + b[len(b) // 2 + 1 :])(path.read_bytes()))),
    ("all zeros", lambda path: path.write_bytes(bytes(10_000))),
]  # fmt: skip


@table(FILES)
def test_damaged_checkpoint_files(case):
    command = loads(lambda content: None)
    case[1](Path("x.ckpt"))
    refused(command, r"x\.ckpt")


RESUMES = [
    (name, {"change": change, "words": r"x\.ckpt|checkpoint"})
    for name, change in {
        "no epoch": lambda c: c.pop("epoch") is None,
        "epoch is text": lambda c: c.update(epoch="x"),
        "epoch is huge": lambda c: c.update(epoch=10**9),
        "no global_step": lambda c: c.pop("global_step") is None,
        "global_step is text": lambda c: c.update(global_step="x"),
        "loops are text": lambda c: c.update(loops="x"),
        "no optimizer_states": lambda c: c.pop("optimizer_states") is None,
        "optimizer_states are text": lambda c: c.update(optimizer_states="x"),
        "no lr_schedulers": lambda c: c.pop("lr_schedulers") is None,
        "lr_schedulers are text": lambda c: c.update(lr_schedulers="x"),
        "callbacks are text": lambda c: c.update(callbacks="x"),
        "no version": lambda c: c.pop("pytorch-lightning_version") is None,
        "version is garbage": lambda c: c.update({"pytorch-lightning_version": "foo"}),
        "random is text": lambda c: c.update(random="x"),
        "random of another size": lambda c: c["random"].update(cpu=torch.zeros(3, dtype=torch.uint8)),
        "a weight of another shape": lambda c: c["state_dict"].update({"explanandum.mean": torch.zeros(7, 7)}),
        "a weight more": lambda c: c["state_dict"].update(foo=torch.zeros(1)),
        "a weight less": lambda c: c["state_dict"].pop("explanandum.mean") is None,
        "of other classes": lambda c: c["explainer"].update(classes=["a", "b", "c", "d", "e", "f"]),
        "of another image size": lambda c: c["explainer"].update(image_size=64),
        "of another module": lambda c: c["explainer"].update(kind="explainer"),
    }.items()
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run's last.ckpt, one epoch of two done."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        trains("--trainer.max_epochs=1")()
    finally:
        os.chdir(before)
    return folder / "runs/tiny_classifier/last.ckpt"


@table(RESUMES)
def test_runs_that_go_on_from_a_spoilt_state(case, trained):
    content = torch.load(trained, weights_only=True)
    case[1]["change"](content)
    torch.save(content, "x.ckpt")
    refused(trains("--ckpt_path=x.ckpt", "--trainer.max_epochs=2", "--name=other"), case[1]["words"])


# --- evaluate.py ---------------------------------------------------------------------------------------------------
EVALUATIONS = [
    ("--evaluation.images.limit=0", "limit"),
    ("--evaluation.images.limit=-1", "limit"),
    ("--evaluation.images.offset=-1", "offset"),
    ("--evaluation.report.gallery=-1", "gallery"),
    ("--evaluation.processes=0", "processes"),
    ("--evaluation.device=foo", "foo"),
    ("--evaluation.device=meta", "meta"),
    ("--evaluation.device=", "device"),
    ("--evaluation.device=cuda:99", "cuda:99"),
    ("--evaluation.curve_steps=-1", "curve_steps"),
    ("--evaluation.salient.level=1", "level"),
    ("--evaluation.salient.level=nan", "level"),
    ("--evaluation.salient.alpha=99", "alpha"),
    ("--evaluation.salient.alpha=-1", "alpha"),
    ("--evaluation.salient.held_out=0", "held_out"),
    ("--evaluation.report.counterfactuals=-1", "counterfactuals"),
    ("--evaluation.images.split=foo", "split"),
    ("--evaluation.out=good.jpg/x", "good.jpg"),
    ("--evaluation.out=" + "o" * 300, "File name too long"),
    ("--evaluation.sanity_checks.methods=[Nope]", "Nope"),
    ("--evaluation.class_matrix.methods=[Nope]", "Nope"),
    ("--evaluation={class_matrix: {methods: true, classes: [nope]}}", "nope"),
    ("--evaluation.methods={a: {class_path: Nope}}", "Nope"),
    ("--evaluation.methods={a: {class_path: RISE, init_args: {foo: 1}}}", "foo"),
    ("--evaluation.methods={'': {class_path: GradCAM}}", "method|name"),
    ("--evaluation.methods={'Ground truth': {class_path: GradCAM}}", "Ground truth"),
    ("--evaluation.methods={a: {class_path: Random, init_args: {seed: -1}}}", "seed"),
    ("--evaluation.methods={a: {class_path: Explainer, init_args: {checkpoint: no.ckpt}}}", r"no\.ckpt"),
    ("--evaluation.metrics={acc: {class_path: Insertion}}", "acc|Insertion"),
    ("--evaluation.metrics={x: {class_path: Nope}}", "Nope"),
    ("--evaluation.infill={class_path: Blur, init_args: {sigma: -1}}", "sigma"),
    ("--evaluation.infill={class_path: Nope}", "Nope"),
    ("--data.init_args.image_size=64", "64"),
    ("--data.init_args.batch_size=0", "batch_size"),
    ("--data.class_path=Nope", "Nope"),
    ("--ckpt_path=no.ckpt", r"no\.ckpt"),
    ("--name=..", "--name"),
    ("--experiment.init_args.fractions=[2]", "fractions"),
    ("--experiment.init_args.fractions=[]", "fractions"),
    ("--experiment.init_args.fractions=[0.1, 0.1]", "fractions"),
    ("--experiment.init_args.seeds=[1, 1]", "seeds"),
    ("--experiment.init_args.workers=0", "workers"),
    ("--experiment.init_args.workers=-1", "workers"),
    ("--experiment.init_args.keep=7", "keep"),
    ("--experiment.init_args.alphas=[2]", "alphas"),
    ("--experiment.init_args.threshold=0", "threshold"),
    ("--experiment.init_args.share=2", "share"),
    ("--experiment.init_args.smallest=0", "smallest"),
    ("--experiment.init_args.examples=-1", "examples"),
]


@table(EVALUATIONS)
def test_settings_of_an_evaluation(case):
    argument, words = case
    Path("good.jpg").write_bytes(b"x")
    refused(evaluates(argument), words)


HALF = "--evaluation.methods={Half: {class_path: Constant, init_args: {value: 0.5}}}"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A folder with the results of a whole evaluation."""
    folder = tmp_path_factory.mktemp("evaluated")
    before = Path.cwd()
    os.chdir(folder)
    try:
        evaluates(HALF)()
    finally:
        os.chdir(before)
    return folder


STATES = [
    ("rows: other types", b'{"id": ["a"], "method": {"b": 1}}\n', "rows.jsonl"),
    ("rows: no columns", b'{"id": "test_00000", "method": "Half"}\n', "rows.jsonl"),
    ("rows: deep", b"[" * 100_000 + b"\n", "rows.jsonl"),
    ("rows: a folder", None, "rows.jsonl"),
    ("rows: text within", b'hello\n{"id": "a", "method": "b"}\n', "rows.jsonl, line 1"),
]


@table(STATES)
def test_results_that_are_spoilt(case, evaluated):
    _, content, words = case
    shutil.copytree(evaluated / "results", "results")
    path = Path("results/tiny/rows.jsonl")
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    refused(evaluates(HALF), words)


# --- python -m explainer -------------------------------------------------------------------------------------------
PHOTOGRAPHS = [
    ("missing", ["nope.png"], r"nope\.png", 1),
    ("a folder without pictures", ["nothing"], r"nothing", 1),
    ("text", ["text.png"], r"text\.png", 1),
    ("empty", ["empty.png"], r"empty\.png", 1),
    ("truncated", ["truncated.png"], r"truncated\.png", 1),
    ("a pipe", ["pipe.png"], r"pipe\.png", 1),
    ("a bomb", ["bomb.png"], r"bomb\.png", 1),
    ("--top 0", ["good.png", "--top", "0"], "top", 2),
    ("--top -6", ["good.png", "--top", "-6"], "top", 2),
    ("--threshold nan", ["good.png", "--threshold", "nan"], "threshold", 2),
    ("--threshold 7", ["good.png", "--threshold", "7"], "threshold", 2),
    ("--threshold -1", ["good.png", "--threshold", "-1"], "threshold", 2),
    ("--device foo", ["good.png", "--device", "foo"], "foo", 2),
    ("--device meta", ["good.png", "--device", "meta"], "meta", 2),
    ("--device empty", ["good.png", "--device", ""], "device", 2),
    ("--device cuda:99", ["good.png", "--device", "cuda:99"], "cuda:99", 2),
    ("--out is a file", ["good.png", "--out", "text.png"], r"text\.png", 2),
    ("--out below a file", ["good.png", "--out", "text.png/x"], r"text\.png", 2),
    ("--out too long", ["good.png", "--out", "o" * 300], "File name too long", 2),
    ("--ckpt_path is no checkpoint", ["good.png", "--ckpt_path", "text.png"], r"text\.png", 2),
    ("--ckpt_path is missing", ["good.png", "--ckpt_path", "nope.ckpt"], r"nope\.ckpt", 2),
]


@table(PHOTOGRAPHS)
def test_photographs(case):
    _, arguments, words, status = case
    command = explains(*arguments)
    Path("text.png").write_text("hello")
    Path("empty.png").write_bytes(b"")
    Path("truncated.png").write_bytes(Path("good.png").read_bytes()[:100])
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 10**5, 10**5, 8, 2, 0, 0, 0)
    Path("bomb.png").write_bytes(head + bytes(20))
    os.mkfifo("pipe.png")
    Path("nothing").mkdir()
    refused(command, words, status)

"""A small classifier, a few drawn images, and one call that evaluates them."""

import torch

from explainer.attribution import CentredBox, Constant, GradCAM
from explainer.data import Batch
from explainer.evaluation.scoring.loop import Scoring, Subject, evaluate
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.store import Store
from explainer.networks import Explanandum

CLASSES = ("cat", "dog", "cow")
METHODS = {"Grad-CAM": GradCAM(), "Half": Constant(0.5), "Box": CentredBox(0.3)}
FACTS = {"checkpoint": "abc", "images": 6}


def classifier(multilabel=True):
    torch.manual_seed(3)
    built = Explanandum("explainer.networks.small.small_cnn", num_classes=3, multilabel=multilabel,
                        network_args={"width": 4})  # fmt: skip
    built.describe_classes(CLASSES, multilabel, new_head=False)
    return built


def pictures(sizes=(2, 3, 1), side=16, segmented=True, multilabel=True):
    """Batches; the fourth image has no segmentation, the fifth no label."""
    generator = torch.Generator().manual_seed(5)
    batches, number = [], 0
    for size in sizes:
        image = torch.rand(size, 3, side, side, generator=generator)
        segmentation = (torch.rand(size, 3, side, side, generator=generator) > 0.7).to(torch.uint8)
        segmentation[:, :, 0] = 255
        labels = torch.zeros(size, 3)
        names = []
        for n in range(size):
            labels[n, number % 3] = 1
            labels[n, (number + 1) % 3] = float(multilabel and number % 2)
            if number == 3:
                segmentation[n] = 255
            if number == 4 and multilabel:
                labels[n] = 0
            names.append(f'image {number}, "{number}"')
            number += 1
        batches.append(Batch(image, labels, names, segmentation if segmented else None))
    return batches


def run(folder, batches, methods=METHODS, explanandum=None, facts=FACTS, device="cpu", **settings):
    store = Store(folder, facts)
    subject = Subject(explanandum or classifier(), methods, device)
    evaluate(subject, batches, store, Scoring(**settings), total=6)
    return store


def timeless(content):
    """Without what differs between runs."""
    if isinstance(content, dict):
        return {k: timeless(v) for k, v in content.items() if k not in ("seconds", "memory", "cost", "run")}
    return [timeless(v) for v in content] if isinstance(content, list | Rows) else content

"""Does a classifier know an animal on another background? Accuracy on photographs of VOC 2012, and on swapped ones.

python benchmarks/backgrounds.py --root /where/voc/is checkpoints/voc_lite0.ckpt [checkpoints/….ckpt …] [--device cuda]

The photographs are those with a segmentation and one class of animal. Swapped, the segmented animal stands on the
photograph of a scene without animals, the next one in turn; the animal's outline is cut hard. "On grey" it stands on
the classifier's mean colour, and "alone" is the background of the photograph with the animal in grey: what can be
guessed from the background. Right is a photograph whose animal has the highest probability of all animals. Intervals
are 95 % bootstrap intervals over photographs.
"""

import argparse

import torch
from torch import Tensor

from explainer.data import VOC
from explainer.networks import Explanandum

ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")


class Scenes:
    """Photographs of one animal class, where the animals are, and photographs without animals."""

    def __init__(self, root: str) -> None:
        data = VOC("2012", True, True, root=root, image_size=192, batch_size=16, num_workers=0)
        data.setup("test")
        self.columns = [data.classes.index(name) for name in ANIMALS]
        images: list[Tensor] = []
        animals: list[Tensor] = []
        target: list[int] = []
        empty: list[Tensor] = []
        for batch in data.test_dataloader():
            present = batch.labels[:, self.columns]
            for image, which, segmentation in zip(batch.image, present, batch.segmentation, strict=True):
                if which.sum() == 1:
                    column = self.columns[int(which.argmax())]
                    images.append(image)
                    animals.append((segmentation[column : column + 1] == 1).float())
                    target.append(int(which.argmax()))
                elif not which.any():
                    empty.append(image)
        self.image = torch.stack(images)
        self.animal = torch.stack(animals)
        self.target = torch.tensor(target)
        turns = torch.arange(len(images)) % len(empty)
        self.scene = torch.stack(empty)[turns]
        self.scenes = len(empty)


@torch.no_grad()
def right(explanandum: Explanandum, image: Tensor, scenes: Scenes, device: str) -> Tensor:
    """Say for which photographs the animal is the most probable of all animals: (N,) in {0, 1}."""
    logits = [explanandum(part.to(device)).float().cpu() for part in image.split(32)]
    found = torch.cat(logits)[:, scenes.columns].argmax(1)
    return (found == scenes.target).float()


def interval(values: Tensor) -> str:
    """Write a mean in percent with its bootstrap interval."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(values), (2000, len(values)), generator=generator)
    low, high = values[draws].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{100 * float(values.mean()):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("checkpoints", nargs="+")
    options = parser.parse_args()
    scenes = Scenes(options.root)
    print(f"{len(scenes.image)} photographs, {scenes.scenes} scenes without animals\n")
    print("| classifier | original ↑ | swapped ↑ | on grey ↑ | background alone |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    for path in options.checkpoints:
        explanandum = Explanandum(path)
        explanandum.freeze()
        grey = explanandum.mean_colour
        views = [
            scenes.image,
            torch.lerp(scenes.scene, scenes.image, scenes.animal),
            torch.lerp(grey.expand_as(scenes.image), scenes.image, scenes.animal),
            torch.lerp(scenes.image, grey.expand_as(scenes.image), scenes.animal),
        ]
        explanandum.to(options.device)
        cells = " | ".join(interval(right(explanandum, view, scenes, options.device)) for view in views)
        print(f"| {path} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

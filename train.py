"""Train whatever a config names: python train.py --config voc_vgg16.yaml."""

from explainer.commands import run
from explainer.training import train

if __name__ == "__main__":
    run(train)

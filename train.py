"""Train whatever a config names: python train.py --config voc_vgg16.yaml."""

import sys

from explainer.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

"""Train whatever a config names: python train.py --config voc_vgg16.yaml."""

import sys

if __name__ == "__main__":
    try:  # importing takes seconds, in which somebody may think better of it
        from explainer.cli.evaluate import run
        from explainer.cli.train import train
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    run(train)

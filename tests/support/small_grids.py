"""A config of Fashion-MNIST that a grid is run with."""

import yaml

NETWORK = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": 4}}
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 3e-3}}


def config(folder, name, **options):
    data = {"name": "FashionMNIST", "root": str(folder / "fashion"), "batch_size": 8, "num_workers": 0,
            "image_size": 28}  # fmt: skip
    content = {
        "model": {"class_path": "Classifier", "init_args": {"explanandum": NETWORK, "optimizer": ADAM}},
        "data": {"class_path": "SmallImages", "init_args": data},
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_progress_bar": False},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content | options))
    return f"{name}.yaml"

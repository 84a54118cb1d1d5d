"""What the classifier says of images, as rows hold it."""

from torch import Tensor

from explainer.evaluation.storage.rows import Prediction
from explainer.networks import Explanandum


def predictions(explanandum: Explanandum, logits: Tensor, labels: Tensor) -> list[Prediction]:
    """Return what the classifier says of each image, as little as the scores need.

    Args:
        explanandum: Frozen classifier, which decides between sigmoid and softmax.
        logits: Logits (B, K).
        labels: Labels (B, K), multi-hot.

    Returns:
        An entry an image: the labels and all K probabilities of a multi-label classifier; of a single-label one the
        label, the predicted class and the label's probability.
    """
    probabilities = explanandum.probabilities(logits.float()).cpu()
    entries: list[Prediction] = []
    for of_classes, multi_hot in zip(probabilities, labels.cpu(), strict=True):
        present = multi_hot.nonzero().flatten().tolist()
        # 5 digits: there are as many numbers as images, methods and classes, twice, and they are read as text
        if explanandum.multilabel:
            rounded = [round(value, 5) for value in of_classes.tolist()]
            entries.append({"labels": present, "probabilities": rounded})
            continue
        of_label = None
        if present:
            probability = float(of_classes[present[0]])
            of_label = round(probability, 5)
        predicted = int(of_classes.argmax())
        entries.append({"labels": present, "predicted": predicted, "probability": of_label})
    return entries

"""Classes that are texts: an explanandum of a network of images and texts, such as CLIP or SigLIP, without training."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from explainer.errors import InputError, one_line
from explainer.networks import hugging_face
from explainer.networks.explanandum import Explanandum
from explainer.networks.image_text import ImageTextClassifier, has_texts, unit_length
from explainer.networks.modes import evaluation_mode


def zero_shot(
    model: str | nn.Module,
    classes: Sequence[str],
    template: str | Sequence[str] = "a photo of a {}",
    *,
    tokenizer: Any = None,
    preprocessor: Any = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Explanandum:
    """Make a classifier of a network of images and texts.

    The texts are embedded once, and stay as they are. Logits are the network's own, `logits_per_image`; a network with
    a bias for them (SigLIP) was trained with sigmoids, and is multi-label, another one (CLIP) ends in a softmax.

    Args:
        model: Name of a repository ("hf/openai/clip-vit-base-patch32"), "hf/" and a folder that `save_pretrained`
            wrote, or a network of transformers (CLIPModel, SiglipModel, …).
        classes: Names of the classes, which are put into the template.
        template: Text with {} where the name stands; of several the normalised embeddings are averaged, as for CLIP.
        tokenizer: Tokenizer of the network, or its processor, which has the image processor too; None loads that of
            the name.
        preprocessor: Image processor; None takes that of the processor, or of the name.
        mean: Mean colour of the network's images; None measures it on the preprocessor.
        std: Standard deviation of the network's images; None measures it on the preprocessor.

    Returns:
        The explanandum, frozen, with the classes' names.

    Raises:
        InputError: The network, its tokenizer or transformers cannot be had, the network embeds no images and texts,
            or the classes or the template are none.
    """
    names = _checked_names(classes)
    templates = _checked_templates(template)
    if isinstance(model, str):
        source = model.removeprefix(hugging_face.PREFIX)
        network = hugging_face.load(f"{hugging_face.PREFIX}{source}", "AutoModel")
        if tokenizer is None:
            tokenizer = _load_tokenizer(source)
        if preprocessor is None:
            preprocessor = hugging_face.read_preprocessor(source)
    else:
        network = model
    if not has_texts(network):
        raise InputError(f"{type(network).__name__} embeds no images and texts: give a CLIPModel, a SiglipModel, …")
    if tokenizer is None:
        raise InputError("zero_shot: a network that is given itself wants its tokenizer, or its processor")
    if preprocessor is None:
        preprocessor = getattr(tokenizer, "image_processor", None)
    embeddings = []
    for template_text in templates:
        sentences = [template_text.format(name) for name in names]
        embeddings.append(embedded(network, tokenizer, sentences))
    texts = unit_length(torch.stack(embeddings).mean(0))
    classifier = ImageTextClassifier(network, texts)
    explanandum = Explanandum(classifier, preprocessor=preprocessor, mean=mean, std=std)  # type: ignore[arg-type]
    explanandum.describe_classes(names, getattr(network, "logit_bias", None) is not None, new_head=False)
    return explanandum


def _checked_names(classes: Sequence[str]) -> tuple[str, ...]:
    is_list = bool(classes) and not isinstance(classes, str)
    if not is_list or not all(isinstance(name, str) and name for name in classes):
        raise InputError(f"zero_shot: classes are a list of names, got {str(classes)[:100]!r}")
    twice = next((name for name, count in Counter(classes).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"zero_shot: two classes have the name {twice!r}: give each a name of its own")
    return tuple(classes)


def _checked_templates(template: str | Sequence[str]) -> tuple[str, ...]:
    templates = (template,) if isinstance(template, str) else tuple(template)
    for text in templates or ("",):
        if text.count("{}") != 1 or text.count("{") != 1 or text.count("}") != 1:
            raise InputError(f"zero_shot: a template has {{}} once, where the class stands, got {text!r}")
    return templates


def _load_tokenizer(source: str) -> Any:
    try:
        return hugging_face.library().AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except InputError:
        raise
    except Exception as error:  # the library and its hub raise errors of many kinds
        raise InputError(f"cannot load the tokenizer of {source}: give it as tokenizer ({one_line(error)})") from error


@torch.no_grad()
def embedded(model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Embed texts.

    Args:
        model: Network of transformers that embeds texts; left as it was.
        tokenizer: Tokenizer or processor of the network.
        texts: Texts, K of them.

    Returns:
        Embeddings (K, D) of length 1, on the network's device.

    Raises:
        InputError: The tokenizer does not take them, or the network does not take what it gives.
    """
    # SigLIP was trained on texts that are filled up to one length, CLIP hides what is filled up
    fills_up = getattr(model, "logit_bias", None) is not None
    try:
        tokens = tokenizer(
            text=list(texts), padding="max_length" if fills_up else True, truncation=True, return_tensors="pt"
        )
        device = next(model.parameters()).device
        with evaluation_mode(model):
            output = model.get_text_features(**{name: value.to(device) for name, value in tokens.items()})
    except Exception as error:  # a tokenizer may be anything, and a network may say anything of another one's tokens
        raise InputError(f"zero_shot: the texts cannot be embedded: {one_line(error)}") from error
    return unit_length(output)

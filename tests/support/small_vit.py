"""A Vision Transformer small enough to be computed by hand."""

import torch
from torch import nn
from torch.nn import functional as F

PATCH = 8


class SelfAttention(nn.Module):
    """By one fused function, by the softmax of a product, or by PyTorch's module."""

    def __init__(self, width, heads, kind):
        super().__init__()
        self.heads, self.kind = heads, kind
        if kind == "module":
            self.inner = nn.MultiheadAttention(width, heads, batch_first=True)
        else:
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

    def forward(self, x):
        if self.kind == "module":
            return self.inner(x, x, x, need_weights=False)[0]
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.kind == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, width, heads, kind):
        super().__init__()
        self.before, self.attention = nn.LayerNorm(width), SelfAttention(width, heads, kind)
        self.middle, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, width), nn.GELU())

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.mlp(self.middle(x))


class SmallViT(nn.Module):
    """Any size of images, as there is no position; a class token, or the mean of the places."""

    def __init__(self, num_classes=3, width=16, heads=2, depth=4, kind="fused", pool="token"):
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, kind) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_classes)
        self.pool = pool

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        if self.pool == "token":
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.pool == "token" else x.mean(1))


def small_vit(num_classes=3, **arguments):
    """A callable that returns a network, for a dotted path; the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SmallViT(num_classes, **arguments)

"""A user's own `torch.nn.Module` as a function of its weights: weights, data, criterion."""

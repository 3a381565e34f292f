"""A blocked Gibbs sampler on plain arrays, made of updates; it knows nothing of models or panels."""

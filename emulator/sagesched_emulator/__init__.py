"""A TensorRT-LLM executor modelled by iteration, inside real Triton and in virtual time."""

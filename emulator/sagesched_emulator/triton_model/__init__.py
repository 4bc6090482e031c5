"""What runs inside Triton: the classic TensorRT-LLM repository with the emulated engine at its heart.

`repository/` is the model repository's template; its model.py files only lead here. Triton's interpreter has
numpy < 2 and tokenizers besides the project's pure modules, and nothing else.
"""

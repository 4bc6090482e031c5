"""What runs inside Triton: models with the tensors of real ones and the emulated engine at their heart.

`repository/` holds a template per layout of the model repository; the model.py files there only lead here.
Triton's interpreter has numpy < 2 and tokenizers besides the project's pure modules, and nothing else.
"""

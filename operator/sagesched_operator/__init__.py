"""The operator of `LLMServingPool`: Triton pods with a SageSched gateway, from one resource."""

"""TensorRT and TensorRT-RTX: engines built on the machine, kept, proven, and run."""

from sartm_core.runtime.tensorrt.runtime import TensorrtRuntime, has_engine

__all__ = ["TensorrtRuntime", "has_engine"]

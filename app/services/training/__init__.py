"""Records for training, and what is made of them."""

from app.services.training.collector import TrainingDataCollector

__all__ = ["TrainingDataCollector"]

"""Records for training, and what is made of them."""

from app.services.training.collector import TrainingDataCollector
from app.services.training.trainer import ModelTrainer

__all__ = ["ModelTrainer", "TrainingDataCollector"]

"""Keeps things in Amazon Web Services, or in whatever speaks the same API (provider ``aws``)."""

from processors.aws.processor import AwsProcessor, create

__all__ = ["AwsProcessor", "create"]

"""tfcap: how much of a captioned image data set is needed, which part of it, and for which captioning model."""

__version__ = "0.1.0"

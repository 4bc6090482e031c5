"""The commands of `sagesched-predictor`, one file each; `cli.py` puts them behind one parser."""

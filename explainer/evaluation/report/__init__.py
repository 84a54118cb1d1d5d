"""What a reader sees of a finished evaluation: one page without network, a LaTeX table, and the same in wandb."""

from explainer.evaluation.report.maps import Shown, pictures
from explainer.evaluation.report.page import About, read_results, write_page, write_report
from explainer.evaluation.report.wandb import log_report

__all__ = ["About", "Shown", "log_report", "pictures", "read_results", "write_page", "write_report"]

"""What a comparison looks like: on the terminal, as CSV, as Markdown, as one page. Pure functions of the document."""

from envctl.page.changes import changes
from envctl.page.growth import Growth, growth_html
from envctl.page.plain import csv, markdown
from envctl.page.terminal import WIDTH, table
from envctl.page.web import html

__all__ = ["WIDTH", "Growth", "changes", "csv", "growth_html", "html", "markdown", "table"]

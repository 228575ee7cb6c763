"""``Monitor``: an environment that tells what an episode gave when it ends, and writes it down where asked."""

from clipper.compat.monitor import EpisodeFile, LoadMonitorResultsError, Monitor, get_monitor_files, load_results

ResultsWriter = EpisodeFile
__all__ = ["LoadMonitorResultsError", "Monitor", "ResultsWriter", "get_monitor_files", "load_results"]

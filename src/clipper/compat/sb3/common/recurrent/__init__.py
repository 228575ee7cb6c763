"""What sb3-contrib keeps in ``sb3_contrib.common.recurrent``."""

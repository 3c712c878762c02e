"""Money in the administration: rows to be looked at, credits by hand, differences to be settled."""

from payments.admin import credits as credits
from payments.admin import rows as rows

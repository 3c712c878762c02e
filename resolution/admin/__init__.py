"""What staff do with cases, in Django's administration: the queue, the page to decide on, the acts.

`cases` answers the addresses. The queue is found by `queue` and drawn by `listing`. `desk` says
what somebody may do with a case, and does it; `decision_page` draws that, with `record` (what is
known), `deciding`, `proposals` and `failed_refunds`. `money` lists what waits of money.
Nothing is edited here: every act goes through `resolution.cases`.
"""

from resolution.admin import cases as cases
from resolution.admin import readings as readings
from resolution.admin import rules as rules

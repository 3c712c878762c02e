"""What staff do with cases, in Django's administration: the queue, the page to decide on, the acts.

`queue` finds cases, `record` tells what is known of one, `cases` shows both and takes the acts.
Nothing is edited here: every act goes through `resolution.cases`.
"""

from resolution.admin import cases as cases
from resolution.admin import rules as rules

"""Who may open and send what: every address of the project, as every kind of person.

A row is an address and a method; a column is somebody. An address that has no row fails the test.

    ok     the page (200)                    done   taken: something changed, and on to a page
    in     first log in (302)                back   on to a page, nothing changed (302)
    404    not there, or not theirs          403    theirs, but not to do
    422    the form again, with its errors   405    not with this method
    400    not a request of this kind        409    too late
    401    not without a token: what a browser holds is none
"""

import logging
import re
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.test.utils import override_settings
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from api import tokens
from api.models import FedRecord
from marketplace import clock
from marketplace.models import Company, Membership, TeamMember, User
from notifications import preferences
from notifications.models import Notification, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from payments import credits, refunds
from payments.gateways import RefundAnswer
from payments.models import CreditAdjustment, Discrepancy, ProviderEvent, Refund
from resolution import cases, sweeps
from resolution.actors import as_staff
from resolution.models import Attachment, Case, Erasure, Event, Reading, Rule, SavedReply
from resolution.terms import Actor, Remedy, Verdict
from tests.people import MakePayment, make_user

PEOPLE = (
    "stranger", "buyer", "other buyer", "owner", "admin", "support", "viewer", "other owner",
    "agent", "finance", "party",
)  # fmt: skip
"""`party` is of finance, and an admin of the company that the case is against."""

NO_STEP = "no step"
"""Somebody of finance in a session that has not taken the second step: they get what a buyer gets
who is no party to anything, and at the administration's door are led to take it."""

TABLE = r"""
GET  home                             | back back back back back back back back back back back
POST home                             | 405  405  405  405  405  405  405  405  405  405  405
GET  livez                            | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST livez                            | 405  405  405  405  405  405  405  405  405  405  405
GET  readyz                           | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST readyz                           | 405  405  405  405  405  405  405  405  405  405  405
GET  metrics                          | 404  404  404  404  404  404  404  404  404  404  404
POST metrics                          | 405  405  405  405  405  405  405  405  405  405  405
GET  login                            | ok   back back back back back back back back back back
POST login                            | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  account_login                    | ok   back back back back back back back back back back
POST account_login                    | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  mfa_authenticate                 | back back back back back back back back back back back
POST mfa_authenticate                 | back back back back back back back back back back back
GET  login-passkey                    | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST login-passkey                    | back back back back back back back back back back back
GET  sso                              | 404  404  404  404  404  404  404  404  404  404  404
POST sso                              | 405  405  405  405  405  405  405  405  405  405  405
GET  sso-callback                     | 404  404  404  404  404  404  404  404  404  404  404
POST sso-callback                     | 405  405  405  405  405  405  405  405  405  405  405
GET  account_inactive                 | back back back back back back back back back back back
POST account_inactive                 | 405  405  405  405  405  405  405  405  405  405  405
GET  account-confirm                  | in   back back back back back back back back back back
POST account-confirm                  | in   back back back back back back back back back back
GET  mfa_index                        | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST mfa_index                        | in   405  405  405  405  405  405  405  405  405  405
GET  account-password                 | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST account-password                 | in   422  422  422  422  422  422  422  422  422  422
GET  mfa_activate_totp                | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST mfa_activate_totp                | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  mfa_deactivate_totp              | in   404  404  404  404  404  404  404  404  404  404
POST mfa_deactivate_totp              | in   404  404  404  404  404  404  404  404  404  404
GET  passkey-new                      | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST passkey-new                      | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  passkey-remove                   | in   404  404  404  404  404  404  404  404  404  404
POST passkey-remove                   | in   404  404  404  404  404  404  404  404  404  404
GET  mfa_view_recovery_codes          | in   404  404  404  404  404  404  404  404  404  404
POST mfa_view_recovery_codes          | in   404  404  404  404  404  404  404  404  404  404
GET  session-end                      | in   405  405  405  405  405  405  405  405  405  405
POST session-end                      | in   back back back back back back back back back back
GET  logout                           | 405  405  405  405  405  405  405  405  405  405  405
POST logout                           | back back back back back back back back back back back
GET  password_reset                   | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST password_reset                   | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  password_reset_done              | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST password_reset_done              | 405  405  405  405  405  405  405  405  405  405  405
GET  password_reset_confirm           | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST password_reset_confirm           | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  password_reset_complete          | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST password_reset_complete          | 405  405  405  405  405  405  405  405  405  405  405
GET  admin/login/                     | in   in   in   in   in   in   in   in   in   in   in
POST admin/login/                     | 405  405  405  405  405  405  405  405  405  405  405
GET  admin/logout/                    | 405  405  405  405  405  405  405  405  405  405  405
POST admin/logout/                    | back back back back back back back back back back back
GET  admin:index                      | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:index                      | in   in   in   in   in   in   in   in   ok   ok   ok
GET  admin:login                      | in   in   in   in   in   in   in   in   in   in   in
POST admin:login                      | 405  405  405  405  405  405  405  405  405  405  405
GET  admin:logout                     | 405  405  405  405  405  405  405  405  405  405  405
POST admin:logout                     | back back back back back back back back back back back
GET  admin:password_change            | in   in   in   in   in   in   in   in   back back back
POST admin:password_change            | in   in   in   in   in   in   in   in   back back back
GET  admin:password_change_done       | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:password_change_done       | in   in   in   in   in   in   in   in   405  405  405
GET  admin:autocomplete               | in   in   in   in   in   in   in   in   403  403  403
POST admin:autocomplete               | in   in   in   in   in   in   in   in   405  405  405
GET  admin:jsi18n                     | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:jsi18n                     | in   in   in   in   in   in   in   in   405  405  405
GET  admin:view_on_site               | in   in   in   in   in   in   in   in   404  404  404
POST admin:view_on_site               | in   in   in   in   in   in   in   in   404  404  404
GET  admin:<path:object_id>/          | in   in   in   in   in   in   in   in   back back back
POST admin:<path:object_id>/          | in   in   in   in   in   in   in   in   back back back
GET  admin:*_send_again               | in   in   in   in   in   in   in   in   back back back
POST admin:*_send_again               | in   in   in   in   in   in   in   in   back back back
GET  admin:*_look_again               | in   in   in   in   in   in   in   in   back back back
POST admin:*_look_again               | in   in   in   in   in   in   in   in   back back back
GET  admin:*_look_up                  | in   in   in   in   in   in   in   in   back back back
POST admin:*_look_up                  | in   in   in   in   in   in   in   in   403  back 403
GET  admin:*_works_again              | in   in   in   in   in   in   in   in   back back back
POST admin:*_works_again              | in   in   in   in   in   in   in   in   back back back
GET  admin:*_case_take_next           | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_take_next           | in   in   in   in   in   in   in   in   done done back
GET  admin:*_case_assign              | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_assign              | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_live                | 401  401  401  401  401  401  401  401  ok   ok   ok
POST admin:*_case_live                | 405  405  405  405  405  405  405  405  405  405  405
GET  admin:*_case_present             | 401  401  401  401  401  401  401  401  ok   ok   ok
POST admin:*_case_present             | 405  405  405  405  405  405  405  405  405  405  405
GET  admin:*_case_audit               | in   in   in   in   in   in   in   in   ok   ok   403
POST admin:*_case_audit               | in   in   in   in   in   in   in   in   405  405  405
GET  admin:*_case_export              | in   in   in   in   in   in   in   in   ok   ok   403
POST admin:*_case_export              | in   in   in   in   in   in   in   in   405  405  405
GET  admin:*_case_act decide          | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act decide          | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_act decide,final    | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act decide,final    | in   in   in   in   in   in   in   in   done 403  403
GET  admin:*_case_act ask             | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act ask             | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_act comment,staff   | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act comment,staff   | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_act note            | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act note            | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_act retry           | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act retry           | in   in   in   in   in   in   in   in   403  done 403
GET  admin:*_case_act credits         | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act credits         | in   in   in   in   in   in   in   in   403  done 403
GET  admin:*_case_act paid            | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_act paid            | in   in   in   in   in   in   in   in   403  done 403
POST admin:*_case_act propose         | in   in   in   in   in   in   in   in   done done 403
POST admin:*_case_act propose-paid    | in   in   in   in   in   in   in   in   done done 403
POST admin:*_case_act approve         | in   in   in   in   in   in   in   in   403  done 403
POST admin:*_case_act decline         | in   in   in   in   in   in   in   in   done done 403
GET  admin:*_case_act nonsense        | in   in   in   in   in   in   in   in   404  404  404
POST admin:*_case_act nonsense        | in   in   in   in   in   in   in   in   404  404  404
POST admin:marketplace_user_change    | in   in   in   in   in   in   in   in   403  ok   ok
POST admin:marketplace_company_change | in   in   in   in   in   in   in   in   403  ok   ok
POST admin:payments_discrepancy_change | in   in   in   in   in   in   in   in   403  ok   ok
GET  admin:*_creditaccount_of         | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:*_creditaccount_of         | in   in   in   in   in   in   in   in   403  done done
GET  admin:*_creditaccount_settle approve| in   in   in   in   in   in   in   in   back back back
POST admin:*_creditaccount_settle approve| in   in   in   in   in   in   in   in   403  back done
GET  admin:*_creditaccount_settle decline| in   in   in   in   in   in   in   in   back back back
POST admin:*_creditaccount_settle decline| in   in   in   in   in   in   in   in   403  done done
GET  admin:*_case_money               | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:*_case_money               | in   in   in   in   in   in   in   in   405  405  405
GET  admin:*_case_money_try_again     | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_money_try_again     | in   in   in   in   in   in   in   in   403  back back
GET  admin:*_fedrecord_try_again      | in   in   in   in   in   in   in   in   back back back
POST admin:*_fedrecord_try_again      | in   in   in   in   in   in   in   in   back back back
POST admin:*_case_changelist          | in   in   in   in   in   in   in   in   405  405  405
POST admin:*_case_change              | in   in   in   in   in   in   in   in   405  405  405
GET  admin:*_changelist               | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:*_changelist               | in   in   in   in   in   in   in   in   ok   ok   ok
GET  admin:resolution_erasure_add     | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:resolution_erasure_add     | in   in   in   in   in   in   in   in   done done done
GET  admin:*_add                      | in   in   in   in   in   in   in   in   403  403  403
POST admin:*_add                      | in   in   in   in   in   in   in   in   403  403  403
GET  admin:*_history                  | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:*_history                  | in   in   in   in   in   in   in   in   ok   ok   ok
GET  admin:*_delete                   | in   in   in   in   in   in   in   in   403  403  403
POST admin:*_delete                   | in   in   in   in   in   in   in   in   403  403  403
GET  admin:*_change                   | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:*_change                   | in   in   in   in   in   in   in   in   403  403  403
GET  admin:app_list                   | in   in   in   in   in   in   in   in   ok   ok   ok
POST admin:app_list                   | in   in   in   in   in   in   in   in   ok   ok   ok
GET  admin:(?P<url>.*)$               | in   in   in   in   in   in   in   in   404  404  404
POST admin:(?P<url>.*)$               | in   in   in   in   in   in   in   in   404  404  404
GET  stripe_webhook                   | 405  405  405  405  405  405  405  405  405  405  405
POST stripe_webhook                   | 400  400  400  400  400  400  400  400  400  400  400
GET  paypal_webhook                   | 405  405  405  405  405  405  405  405  405  405  405
POST paypal_webhook                   | 400  400  400  400  400  400  400  400  400  400  400
GET  api:api-root                     | 404  404  404  404  404  404  404  404  404  404  404
POST api:api-root                     | 404  404  404  404  404  404  404  404  404  404  404
GET  api:me                           | 401  401  401  401  401  401  401  401  401  401  401
POST api:me                           | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_cases                   | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_cases                   | 401  401  401  401  401  401  401  401  401  401  401
GET  api:create_case                  | 401  401  401  401  401  401  401  401  401  401  401
POST api:create_case                  | 401  401  401  401  401  401  401  401  401  401  401
GET  api:summary                      | 401  401  401  401  401  401  401  401  401  401  401
POST api:summary                      | 405  405  405  405  405  405  405  405  405  405  405
GET  api:retrieve_case                | 401  401  401  401  401  401  401  401  401  401  401
POST api:retrieve_case                | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_events                  | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_events                  | 405  405  405  405  405  405  405  405  405  405  405
GET  api:accept_case                  | 405  405  405  405  405  405  405  405  405  405  405
POST api:accept_case                  | 401  401  401  401  401  401  401  401  401  401  401
GET  api:deny_case                    | 405  405  405  405  405  405  405  405  405  405  405
POST api:deny_case                    | 401  401  401  401  401  401  401  401  401  401  401
GET  api:request_info                 | 405  405  405  405  405  405  405  405  405  405  405
POST api:request_info                 | 401  401  401  401  401  401  401  401  401  401  401
GET  api:reply_to_case                | 405  405  405  405  405  405  405  405  405  405  405
POST api:reply_to_case                | 401  401  401  401  401  401  401  401  401  401  401
GET  api:appeal_case                  | 405  405  405  405  405  405  405  405  405  405  405
POST api:appeal_case                  | 401  401  401  401  401  401  401  401  401  401  401
GET  api:withdraw_case                | 405  405  405  405  405  405  405  405  405  405  405
POST api:withdraw_case                | 401  401  401  401  401  401  401  401  401  401  401
GET  api:download                     | 404  404  404  404  404  404  404  404  404  404  404
POST api:download                     | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_refunds                 | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_refunds                 | 405  405  405  405  405  405  405  405  405  405  405
GET  api:retrieve_refund              | 401  401  401  401  401  401  401  401  401  401  401
POST api:retrieve_refund              | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_payments                | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_payments                | 405  405  405  405  405  405  405  405  405  405  405
GET  api:retrieve_payment             | 401  401  401  401  401  401  401  401  401  401  401
POST api:retrieve_payment             | 405  405  405  405  405  405  405  405  405  405  405
GET  api:create_file                  | 401  401  401  401  401  401  401  401  401  401  401
POST api:create_file                  | 401  401  401  401  401  401  401  401  401  401  401
GET  api:list_files                   | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_files                   | 401  401  401  401  401  401  401  401  401  401  401
GET  api:retrieve_file                | 401  401  401  401  401  401  401  401  401  401  401
POST api:retrieve_file                | 405  405  405  405  405  405  405  405  405  405  405
GET  api:put_content                  | 405  405  405  405  405  405  405  405  405  405  405
POST api:put_content                  | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_webhooks                | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_webhooks                | 401  401  401  401  401  401  401  401  401  401  401
GET  api:create_webhook               | 401  401  401  401  401  401  401  401  401  401  401
POST api:create_webhook               | 401  401  401  401  401  401  401  401  401  401  401
GET  api:retrieve_webhook             | 401  401  401  401  401  401  401  401  401  401  401
POST api:retrieve_webhook             | 405  405  405  405  405  405  405  405  405  405  405
GET  api:update_webhook               | 401  401  401  401  401  401  401  401  401  401  401
POST api:update_webhook               | 405  405  405  405  405  405  405  405  405  405  405
GET  api:delete_webhook               | 401  401  401  401  401  401  401  401  401  401  401
POST api:delete_webhook               | 405  405  405  405  405  405  405  405  405  405  405
GET  api:list_deliveries              | 401  401  401  401  401  401  401  401  401  401  401
POST api:list_deliveries              | 405  405  405  405  405  405  405  405  405  405  405
GET  api:replay_delivery              | 405  405  405  405  405  405  405  405  405  405  405
POST api:replay_delivery              | 401  401  401  401  401  401  401  401  401  401  401
GET  api:replay                       | 405  405  405  405  405  405  405  405  405  405  405
POST api:replay                       | 401  401  401  401  401  401  401  401  401  401  401
GET  api:test_webhook                 | 405  405  405  405  405  405  405  405  405  405  405
POST api:test_webhook                 | 401  401  401  401  401  401  401  401  401  401  401
GET  api:ingest                       | 405  405  405  405  405  405  405  405  405  405  405
POST api:ingest                       | 401  401  401  401  401  401  401  401  401  401  401
GET  api:openapi_json                 | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST api:openapi_json                 | 405  405  405  405  405  405  405  405  405  405  405
GET  api:docs                         | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST api:docs                         | 405  405  405  405  405  405  405  405  405  405  405
GET  email_reports                    | 405  405  405  405  405  405  405  405  405  405  405
POST email_reports                    | 404  404  404  404  404  404  404  404  404  404  404
GET  hub                              | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub                              | in   405  405  405  405  405  405  405  405  405  405
GET  hub-membership                   | in   ok   404  404  404  404  404  404  404  404  404
POST hub-membership                   | in   405  405  405  405  405  405  405  405  405  405
GET  hub-open-case                    | in   ok   404  404  404  404  404  404  404  404  404
POST hub-open-case                    | in   done 404  404  404  404  404  404  404  404  404
GET  hub-cases                        | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub-cases                        | in   405  405  405  405  405  405  405  405  405  405
GET  hub-case                         | in   ok   404  404  404  404  404  404  404  404  404
POST hub-case                         | in   405  405  405  405  405  405  405  405  405  405
GET  hub-act reply                    | in   back 404  404  404  404  404  404  404  404  404
POST hub-act reply                    | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act comment                  | in   back 404  404  404  404  404  404  404  404  404
POST hub-act comment                  | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act withdraw                 | in   ok   404  404  404  404  404  404  404  404  404
POST hub-act withdraw                 | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act appeal                   | in   back 404  404  404  404  404  404  404  404  404
POST hub-act appeal                   | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act accept-decision          | in   ok   404  404  404  404  404  404  404  404  404
POST hub-act accept-decision          | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act appeal,decided           | in   back 404  404  404  404  404  404  404  404  404
POST hub-act appeal,decided           | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act accept-decision,decided  | in   ok   404  404  404  404  404  404  404  404  404
POST hub-act accept-decision,decided  | in   done 404  404  404  404  404  404  404  404  404
GET  hub-act cancel-refund            | in   back 404  404  404  404  404  404  404  404  404
POST hub-act cancel-refund            | in   403  404  404  404  404  404  404  404  404  404
GET  hub-act nonsense                 | in   404  404  404  404  404  404  404  404  404  404
POST hub-act nonsense                 | in   404  404  404  404  404  404  404  404  404  404
GET  hub-export                       | in   ok   404  404  404  404  404  404  404  404  404
POST hub-export                       | 405  405  405  405  405  405  405  405  405  405  405
GET  dash-export                      | in   404  404  ok   ok   ok   ok   404  404  404  ok
POST dash-export                      | 405  405  405  405  405  405  405  405  405  405  405
GET  hub-live                         | in   ok   404  404  404  404  404  404  404  404  404
POST hub-live                         | in   405  405  405  405  405  405  405  405  405  405
GET  hub-draft reply                  | in   405  405  405  405  405  405  405  405  405  405
POST hub-draft reply                  | in   back 404  404  404  404  404  404  404  404  404
GET  hub-draft nonsense               | in   405  405  405  405  405  405  405  405  405  405
POST hub-draft nonsense               | in   404  404  404  404  404  404  404  404  404  404
GET  hub-open-draft                   | in   405  405  405  405  405  405  405  405  405  405
POST hub-open-draft                   | in   back 404  404  404  404  404  404  404  404  404
GET  hub-credits                      | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub-credits                      | in   405  405  405  405  405  405  405  405  405  405
GET  dash-cases                       | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-cases                       | in   405  405  405  405  405  405  405  405  405  405
GET  dash-case                        | in   404  404  ok   ok   ok   ok   404  404  404  ok
POST dash-case                        | in   405  405  405  405  405  405  405  405  405  405
GET  dash-act respond,accept          | in   404  404  back back back back 404  404  404  back
POST dash-act respond,accept          | in   404  404  done done done 403  404  404  404  done
GET  dash-act respond,deny            | in   404  404  back back back back 404  404  404  back
POST dash-act respond,deny            | in   404  404  done done done 403  404  404  404  done
GET  dash-act respond,request_info    | in   404  404  back back back back 404  404  404  back
POST dash-act respond,request_info    | in   404  404  done done done 403  404  404  404  done
GET  dash-act comment                 | in   404  404  back back back back 404  404  404  back
POST dash-act comment                 | in   404  404  done done done 403  404  404  404  done
GET  dash-act appeal,decided          | in   404  404  back back back back 404  404  404  back
POST dash-act appeal,decided          | in   404  404  done done 403  403  404  404  404  done
GET  dash-act accept-decision,decided | in   404  404  ok   ok   back back 404  404  404  ok
POST dash-act accept-decision,decided | in   404  404  done done 403  403  404  404  404  done
GET  dash-act cancel-refund           | in   404  404  ok   ok   ok   back 404  404  404  ok
POST dash-act cancel-refund           | in   404  404  done done done 403  404  404  404  done
GET  dash-act reply                   | in   404  404  back back back back 404  404  404  back
POST dash-act reply                   | in   404  404  403  403  403  403  404  404  404  403
GET  dash-act withdraw                | in   404  404  back back back back 404  404  404  back
POST dash-act withdraw                | in   404  404  403  403  403  403  404  404  404  403
GET  dash-act nonsense                | in   404  404  404  404  404  404  404  404  404  404
POST dash-act nonsense                | in   404  404  404  404  404  404  404  404  404  404
GET  dash-live                        | in   404  404  ok   ok   ok   ok   404  404  404  ok
POST dash-live                        | in   405  405  405  405  405  405  405  405  405  405
GET  dash-draft respond               | in   405  405  405  405  405  405  405  405  405  405
POST dash-draft respond               | in   404  404  back back back back 404  404  404  back
GET  dash-rules                       | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-rules                       | in   405  405  405  405  405  405  405  405  405  405
GET  dash-rule-history                | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-rule-history                | in   405  405  405  405  405  405  405  405  405  405
GET  dash-rule-new                    | in   404  404  ok   ok   403  403  ok   404  404  ok
POST dash-rule-new                    | in   404  404  done done 403  403  done 404  404  done
GET  dash-rule                        | in   404  404  ok   ok   403  403  404  404  404  ok
POST dash-rule                        | in   404  404  done done 403  403  404  404  404  done
GET  dash-rule-act up                 | in   405  405  405  405  405  405  405  405  405  405
POST dash-rule-act up                 | in   404  404  back back 403  403  404  404  404  back
GET  dash-rule-act down               | in   405  405  405  405  405  405  405  405  405  405
POST dash-rule-act down               | in   404  404  back back 403  403  404  404  404  back
GET  dash-rule-act delete             | in   405  405  405  405  405  405  405  405  405  405
POST dash-rule-act delete             | in   404  404  done done 403  403  404  404  404  done
GET  dash-rule-act nonsense           | in   405  405  405  405  405  405  405  405  405  405
POST dash-rule-act nonsense           | in   404  404  404  404  403  403  404  404  404  404
GET  dash-cases-csv                   | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-cases-csv                   | in   405  405  405  405  405  405  405  405  405  405
GET  dash-replies                     | in   404  404  ok   ok   ok   403  ok   404  404  ok
POST dash-replies                     | in   405  405  405  405  405  405  405  405  405  405
GET  dash-reply-new                   | in   404  404  ok   ok   ok   403  ok   404  404  ok
POST dash-reply-new                   | in   404  404  done done done 403  done 404  404  done
GET  dash-reply                       | in   404  404  ok   ok   ok   403  404  404  404  ok
POST dash-reply                       | in   404  404  done done done 403  404  404  404  done
GET  dash-reply-remove                | in   405  405  405  405  405  405  405  405  405  405
POST dash-reply-remove                | in   404  404  done done done 403  404  404  404  done
GET  dash-insights                    | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-insights                    | in   405  405  405  405  405  405  405  405  405  405
GET  dash-insights-csv                | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-insights-csv                | in   405  405  405  405  405  405  405  405  405  405
GET  dash-developers                  | in   404  404  ok   ok   403  403  ok   404  404  ok
POST dash-developers                  | in   405  405  405  405  405  405  405  405  405  405
GET  dash-token-new                   | in   404  404  ok   ok   403  403  ok   404  404  ok
POST dash-token-new                   | in   404  404  422  422  403  403  422  404  404  422
GET  dash-webhook-new                 | in   404  404  ok   ok   403  403  ok   404  404  ok
POST dash-webhook-new                 | in   404  404  422  422  403  403  422  404  404  422
GET  dash-token-revoke                | in   405  405  405  405  405  405  405  405  405  405
POST dash-token-revoke                | in   404  404  back back 403  403  404  404  404  back
GET  dash-webhook                     | in   404  404  ok   ok   403  403  404  404  404  ok
POST dash-webhook                     | in   404  404  422  422  403  403  404  404  404  422
GET  dash-webhook-act off             | in   405  405  405  405  405  405  405  405  405  405
POST dash-webhook-act off             | in   404  404  back back 403  403  404  404  404  back
GET  dash-webhook-act nonsense        | in   405  405  405  405  405  405  405  405  405  405
POST dash-webhook-act nonsense        | in   404  404  404  404  403  403  404  404  404  404
GET  dash-delivery-replay             | in   405  405  405  405  405  405  405  405  405  405
POST dash-delivery-replay             | in   404  404  back back 403  403  404  404  404  back
GET  hub-tokens                       | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub-tokens                       | in   405  405  405  405  405  405  405  405  405  405
GET  hub-token-new                    | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub-token-new                    | in   422  422  422  422  422  422  422  422  422  422
GET  hub-token-revoke                 | in   405  405  405  405  405  405  405  405  405  405
POST hub-token-revoke                 | in   back 404  404  404  404  404  404  404  404  404
GET  uploads                          | in   405  405  405  405  405  405  405  405  405  405
POST uploads                          | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  hub-notices                      | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST hub-notices                      | in   405  405  405  405  405  405  405  405  405  405
GET  hub-notices-read                 | in   405  405  405  405  405  405  405  405  405  405
POST hub-notices-read                 | in   back back back back back back back back back back
GET  dash-notices                     | in   404  404  ok   ok   ok   ok   ok   404  404  ok
POST dash-notices                     | in   405  405  405  405  405  405  405  405  405  405
GET  dash-notices-read                | in   405  405  405  405  405  405  405  405  405  405
POST dash-notices-read                | in   404  404  back back back back back 404  404  back
GET  language                         | 405  405  405  405  405  405  405  405  405  405  405
POST language                         | 400  400  400  400  400  400  400  400  400  400  400
GET  account                          | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST account                          | in   422  422  422  422  422  422  422  422  422  422
GET  account-mail                     | in   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST account-mail                     | in   422  422  422  422  422  422  422  422  422  422
GET  account-unsubscribe              | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
POST account-unsubscribe              | ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok
GET  attachment                       | in   back 404  back back back back 404  back back back
POST attachment                       | 405  405  405  405  405  405  405  405  405  405  405
GET  attachment-bytes                 | in   ok   404  404  404  404  404  404  404  404  404
POST attachment-bytes                 | 405  405  405  405  405  405  405  405  405  405  405
"""


STOCK = re.compile(
    r"admin:([a-z]+)_([a-z]+)_(?:change|history|delete|send_again|look_again|look_up|works_again"
    r"|try_again)"
)
CASE_PAGES = ("assign", "audit", "change", "live", "present")
API_ON_ONE_CASE = {
    "api:retrieve_case", "api:list_events", "api:accept_case", "api:deny_case", "api:request_info",
    "api:reply_to_case", "api:appeal_case", "api:withdraw_case",
}  # fmt: skip
NAMELESS = {
    "admin/login/": "/admin/login/",
    "admin/logout/": "/admin/logout/",
    "admin:<path:object_id>/": "/admin/payments/payment/1/",
    "admin:(?P<url>.*)$": "/admin/nowhere/",
}


def addresses(patterns: Any = None, where: str = "") -> Iterator[str]:
    """The name of every address, or its pattern where it has no name."""
    for found in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(found, URLResolver):
            inside = f"{found.namespace}:" if found.namespace else where
            yield from addresses(found.url_patterns, inside)
        elif isinstance(found, URLPattern):
            yield where + (found.name or str(found.pattern))


class World:
    """One company with its team, a buyer with cases at every turn, strangers, and staff."""

    def __init__(
        self, bea: User, cleo: User, nia: User, sam: User, company: Company,
        make_payment: MakePayment, membership: Membership, buyer: Actor, creator: Actor,
        staff: Actor,
    ) -> None:  # fmt: skip
        self.people: dict[str, User | None] = {
            "stranger": None, "buyer": bea, "owner": cleo, "other owner": nia, "finance": sam,
            "other buyer": make_user("Otto Away"),
            "agent": make_user("Abe Okoro", is_staff=True, staff_role="agent"),
            "party": make_user("Pia Both", is_staff=True, staff_role="finance"),
            NO_STEP: make_user("Nat Bare", is_staff=True, staff_role="finance"),
        }  # fmt: skip
        for role in ("admin", "support", "viewer"):
            self.people[role] = make_user(role.title())
        for person in ("admin", "support", "viewer", "party"):
            role = "admin" if person == "party" else person
            user = self.people[person]
            assert user
            TeamMember.objects.create(company=company, user=user, role=role)
        self.make_payment, self.bea, self.membership = make_payment, bea, membership
        self.company, self.free = company, make_payment()
        no, yes = Verdict(Remedy.NONE), Verdict(Remedy.REFUND, 2000)

        def ask(**more: Any) -> dict[str, Any]:
            return {"message": "Why?", **more}

        self.waiting = self.walked()
        self.asked = self.walked(("request_info", creator, ask()))
        self.denied = self.walked(("deny", creator, ask()))
        to_staff = [("deny", creator, ask()), ("appeal", buyer, ask())]
        self.escalated = self.walked(*to_staff)
        self.decided = self.walked(*to_staff, ("decide", staff, ask(verdict=yes)))
        self.appealed = self.walked(
            *to_staff, ("decide", staff, ask(verdict=no)), ("appeal", buyer, ask())
        )
        self.failed = self.walked(("accept", creator, {}))
        assert self.failed.refund
        refunds.settle(self.failed.refund.pk, RefundAnswer("", "failed"), token=None)
        sweeps.notice_refund(self.failed.pk)
        self.failed.refresh_from_db()
        abe = self.people["agent"]
        assert abe
        agent = as_staff(abe)
        self.proposed = self.walked(*to_staff, ("propose", agent, ask(verdict=yes)))
        self.rule = Rule.objects.create(
            company=company, name="All", reasons=["fraudulent"], message="Sorry.", position=1
        )
        Rule.objects.update(delay_hours=24)
        self.planned = self.walked()
        Rule.objects.update(delay_hours=0)
        self.reply = SavedReply.objects.create(company=company, title="Hello", text="Hi.")
        self.own_token, _ = tokens.make(bea, "Mine", [tokens.READ_CASES])
        self.company_token, _ = tokens.make(cleo, "Ours", [tokens.READ_CASES], company=company)
        self.endpoint = WebhookEndpoint.objects.create(
            company=company, url="https://shop.example/", events=["refund.created"], enabled=False
        )
        WebhookDelivery.objects.create(
            endpoint=self.endpoint, key="k", type="refund.created", about="revt_1",
            resource="rfnd_1", thread="rfnd_1", happened_at=clock.now(),
        )  # fmt: skip
        FedRecord.objects.create(
            kind="product", record_id="prod_1", updated_at=clock.now(), payload={},
            applied_at=clock.now(),
        )  # fmt: skip
        self.delivery = WebhookAttempt.objects.create(
            endpoint=self.endpoint, type="refund.created", request_body='{"id": "msg_1"}',
            success=False, seconds=0.1,
        )  # fmt: skip
        self.file = Attachment.objects.create(
            event=self.asked.events.get(step="open_case"), uploader=bea, filename="a.png",
            content_type="image/png", kind="image", size=3, sha256="0" * 64,
            file=ContentFile(b"abc", "a.png"),
        )  # fmt: skip
        preferences.choose(bea, muted=["news"])
        credits.grant(self.free, 100, key="k", cause="c", note="Sorry")
        Discrepancy.objects.create(payment=self.free, kind="sums", detail="100 too much")
        ProviderEvent.objects.create(provider="stripe", event_id="evt_1", type="t", payload="{}")
        Reading.objects.create(reader=sam, case=self.asked, what="page")
        Erasure.objects.create(person=make_user("Gone"), reason="They asked.", words_too=True)
        self.gone_next = make_user("Next")
        with override_settings(SECOND_APPROVAL_LIMIT={}):
            self.adjustment = credits.adjust(
                bea, "USD", 100, reason="So.", by=sam, form_key=uuid4()
            )

        self.ids = {
            "membership": membership.public_id, "payment": self.free.public_id,
            "case": self.asked.public_id, "rule": self.rule.pk, "file": self.file.public_id,
            "reply": self.reply.pk,
        }  # fmt: skip
        self._browsers: dict[str, Client] = {}
        self.unchanged = self.changes()

    def browser_of(self, person: str) -> Client:
        """Where they are logged in, again if need be."""
        user, client = self.people[person], self._browsers.setdefault(person, Browser())
        session = client.cookies.get("session")
        if user and not (session and session.value):
            log_in(client, user, "password" if person == NO_STEP else "mfa")
        return client

    def walked(self, *steps: tuple[str, Actor, dict[str, Any]]) -> Case:
        payment = self.make_payment(amount_minor=4000)
        case = cases.open_case(
            payment, self.bea, reason="fraudulent", message="Not me.", asked_minor=4000
        )
        sweeps.advance([case.pk])
        for step, actor, more in steps:
            cases.take_step(case, step, actor, **more)
        return Case.objects.get(pk=case.pk)

    def changes(self) -> tuple[Any, ...]:
        """What an act would leave behind."""
        rules = list(
            Rule.objects.order_by("pk").values_list("pk", "version", "position", "enabled")
        )
        replies = list(SavedReply.objects.order_by("pk").values_list("pk", "version"))
        assigned = list(Case.objects.order_by("pk").values_list("pk", "assigned_to"))
        teams = list(TeamMember.objects.order_by("pk").values_list("pk", "role"))
        people = list(
            User.objects.order_by("pk").values_list("email", "is_staff", "staff_role", "password")
        )
        sent = list(Notification.objects.order_by("pk").values_list("pk", "state"))
        adjusted = list(CreditAdjustment.objects.order_by("pk").values_list("pk", "state"))
        return (
            Event.objects.count(), Refund.objects.count(), rules, replies, assigned, teams, people,
            sent, adjusted,
        )  # fmt: skip

    def args(self, label: str) -> list[Any]:
        """The ids in the address of a row."""
        name, _, act = label.partition(" ")
        if name.startswith("admin:"):
            return self._admin_args(name, act)
        if name in ("hub-act", "dash-act", "hub-draft", "dash-draft"):
            return [self.case_for(act).public_id, act.split(",")[0]]
        if name == "attachment-bytes":
            page = reverse("attachment", args=[self.file.public_id])
            return self.browser_of("buyer").get(page)["Location"].split("/")[2:4]
        if name == "dash-rule-act":
            return [self.rule.pk, act]
        if name == "dash-webhook-act":
            return [self.endpoint.public_id, act]
        if name in API_ON_ONE_CASE:
            return [self.asked.public_id]
        ids: dict[str, list[Any]] = {
            "api:download": [self.file.public_id],
            "api:retrieve_refund": ["rfnd_none"],
            "api:retrieve_payment": [self.free.public_id],
            "api:retrieve_file": ["file_none"],
            "api:put_content": ["file_none"],
            "api:retrieve_webhook": ["hook_none"],
            "api:update_webhook": ["hook_none"],
            "api:delete_webhook": ["hook_none"],
            "api:list_deliveries": ["hook_none"],
            "api:replay_delivery": ["hook_none", "whdel_none"],
            "api:replay": ["hook_none"],
            "api:test_webhook": ["hook_none"],
            "hub-membership": [self.membership.public_id],
            "hub-open-case": [self.free.public_id],
            "hub-open-draft": [self.free.public_id],
            "hub-case": [self.asked.public_id],
            "hub-live": [self.asked.public_id],
            "hub-export": [self.asked.public_id],
            "dash-export": [self.asked.public_id],
            "dash-case": [self.asked.public_id],
            "dash-live": [self.asked.public_id],
            "dash-rule": [self.rule.pk],
            "dash-reply": [self.reply.pk],
            "dash-reply-remove": [self.reply.pk],
            "dash-token-revoke": [self.company_token.public_id],
            "hub-token-revoke": [self.own_token.public_id],
            "dash-webhook": [self.endpoint.public_id],
            "dash-delivery-replay": [self.endpoint.public_id, self.delivery.public_id],
            "attachment": [self.file.public_id],
            "account-unsubscribe": [preferences.stop_token(self.bea, "news")],
            "password_reset_confirm": ["MQ", "set-password"],
            "passkey-remove": [2**31 - 1],
        }
        return ids.get(name, [])

    def _admin_args(self, name: str, act: str) -> list[Any]:
        if name == "admin:resolution_case_act":
            return [self.case_for(act).public_id, act.split(",")[0]]
        if name in [f"admin:resolution_case_{page}" for page in CASE_PAGES]:
            return [self.escalated.public_id]
        if name == "admin:resolution_case_export":
            return [self.escalated.public_id, "bank"]
        if name == "admin:payments_creditaccount_of":
            return [self.bea.public_id]
        if name == "admin:payments_creditaccount_settle":
            return [self.adjustment.pk, act]
        if name == "admin:app_list":
            return ["resolution"]
        if name == "admin:view_on_site":
            return ["1", "1"]
        found = STOCK.fullmatch(name)
        row = apps.get_model(found[1], found[2]).objects.order_by("pk").first() if found else None
        return [row.pk] if row else []

    def case_for(self, act: str) -> Case:
        """The case on which an act of a page is open to somebody."""
        return {
            "reply": self.asked, "comment": self.asked, "withdraw": self.asked,
            "appeal": self.denied, "accept-decision": self.denied,
            "appeal,decided": self.decided, "accept-decision,decided": self.decided,
            "decide": self.escalated, "ask": self.escalated, "note": self.escalated,
            "decide,final": self.appealed, "comment,staff": self.escalated,
            "retry": self.failed, "credits": self.failed, "paid": self.failed,
            "propose-retry": self.failed, "propose-credits": self.failed,
            "propose": self.escalated, "propose-paid": self.failed, "approve": self.proposed,
            "decline": self.proposed, "cancel-refund": self.planned,
        }.get(act, self.waiting)  # fmt: skip

    def data(self, label: str) -> dict[str, Any]:
        """What the form of a row would send."""
        name, _, act = label.partition(" ")
        if name == "hub-open-case":
            return {"reason": "fraudulent", "ask": "full", "description": "It was not me. " * 4}
        if name in ("hub-act", "dash-act", "admin:resolution_case_act"):
            answer = act.partition(",")[2]
            return {
                "form_key": str(uuid4()), "version": self.case_for(act).version, "message": "So.",
                "action": answer, "do": answer, f"{answer}_message": "So.", "asks": "buyer",
                "outcome": "refund", "amount": "10.00", "why": "So.", "reference": "TX 1",
                "proposal": self.proposed.events.get(step="propose").public_id,
            } | ({"do": "refund"} if name.startswith("admin") else {})  # fmt: skip
        if name in ("dash-rule", "dash-rule-new"):
            return {
                "name": "New", "reasons": ["fraudulent"], "message": "Sorry.", "delay_hours": "0",
                "company": self.company.public_id, "version": self.rule.version,
            }  # fmt: skip
        if name.startswith("dash-reply"):
            return {
                "title": "New", "text": "Hi.", "version": self.reply.version,
                "company": self.company.public_id,
            }  # fmt: skip
        if name == "dash-rule-act":
            return {"version": self.rule.version, "do": act, "enabled": ""}
        if name == "admin:resolution_case_assign":
            return {"seen": 0}
        if name == "admin:resolution_erasure_add":
            return {"whom": self.gone_next.public_id, "reason": "They asked."}
        if name.startswith("admin:payments_creditaccount"):
            return {
                "form_key": str(uuid4()), "currency": "USD", "amount": "1", "reason": "So.",
                "note": "No.",
            }  # fmt: skip
        return {}


class Browser(Client):
    """A browser that keeps nothing but its cookies: no copy of what each page was made of."""

    def request(self, **request: Any) -> Any:
        response = self.handler(self._base_environ(**request))  # type: ignore[attr-defined]
        self.cookies.update(response.cookies)
        return response


def log_in(client: Client, user: User, method: str = "mfa") -> None:
    """As somebody who has just logged in this way."""
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": method, "at": time.time()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> Iterator[None]:
    settings.STAFF_TWO_FACTOR = True
    settings.FRESH_LOGIN_MINUTES = 30
    logging.disable(logging.WARNING)  # thousands of pages that are not there are meant
    yield
    logging.disable(logging.NOTSET)


def outcome(world: World, method: str, label: str, person: str) -> str:
    """What happens, in a word of the table; whatever was done is undone."""
    client = world.browser_of(person)
    name = label.partition(" ")[0]
    address = NAMELESS.get(name) or reverse(name, args=world.args(label))
    with transaction.atomic():
        if method == "GET":
            answer = client.get(address)
        else:
            answer = client.post(address, world.data(label))
        to = answer.headers.get("Location", "")
        turned_away = to.startswith(("/login/", "/admin/login/")) and "?next=" in to
        looked_only = method == "GET" or turned_away or answer.status_code in (404, 405)
        changed = not looked_only and world.changes() != world.unchanged
        transaction.set_rollback(True)
    if turned_away:
        return "in"
    if to:
        return "done" if changed else "back"
    told = "ok" if answer.status_code == 200 else str(answer.status_code)
    return f"{told}!" if changed else told


ROWS = [
    (*row.split(maxsplit=1), " ".join(cells.split()))
    for row, cells in (line.split("|") for line in TABLE.strip().splitlines())
]


def row_of(method: str, name: str) -> list[tuple[str, str]]:
    """The rows of an address: the act that each is about, and what everybody gets.

    The first that fits counts; rows with an act stand side by side.
    """
    rows = [
        (act, cells)
        for row_method, label, cells in ROWS
        for pattern, _, act in [label.strip().partition(" ")]
        if row_method == method and (pattern == name or fnmatchcase(name, pattern))
    ]
    return rows[:1] if rows and not rows[0][0] else rows


def surface_of(name: str) -> str:
    return next((surface for surface in ("hub", "dash", "admin") if name.startswith(surface)), "")


@pytest.mark.parametrize("surface", ["hub", "dash", "admin", ""])
def test_everybody_gets_what_is_theirs_and_no_more(world: World, surface: str) -> None:
    names = [n for n in dict.fromkeys(addresses()) if surface_of(n) == surface]
    expected: dict[str, str] = {}
    found: dict[str, str] = {}

    for name, method in product(names, ("GET", "POST")):
        for act, cells in row_of(method, name):
            label = f"{name} {act}".strip()
            expected[f"{method} {label}"] = cells
            found[f"{method} {label}"] = " ".join(
                outcome(world, method, label, person) for person in PEOPLE
            )

    assert found == expected


def test_every_address_has_its_rows() -> None:
    without = [n for n in addresses() for method in ("GET", "POST") if not row_of(method, n)]

    assert without == []


def test_every_row_has_its_address() -> None:
    names = list(addresses())
    patterns = {label.partition(" ")[0].strip() for _, label, _ in ROWS}

    assert [p for p in patterns if not any(n == p or fnmatchcase(n, p) for n in names)] == []

"""The addresses of buyers and creators. Acts are POSTs below the page that they act on."""

from django.urls import path

from resolution.views import (
    account,
    auto_respond,
    dash,
    exports,
    files,
    hub,
    inbox,
    insights,
    replies,
)

urlpatterns = [
    path("hub/", hub.home, name="hub"),
    path("hub/memberships/<str:public_id>/", hub.membership, name="hub-membership"),
    path("hub/payments/<str:public_id>/open-case/", hub.open_case, name="hub-open-case"),
    path(
        "hub/payments/<str:public_id>/open-case/draft/", hub.open_case_draft, name="hub-open-draft"
    ),
    path("hub/cases/", hub.case_list, name="hub-cases"),
    path("hub/cases/<str:public_id>/", hub.case, name="hub-case"),
    path("hub/cases/<str:public_id>/live/", hub.live, name="hub-live"),
    path("hub/cases/<str:public_id>/export/", exports.for_buyer, name="hub-export"),
    path("hub/cases/<str:public_id>/<slug:act>/", hub.act, name="hub-act"),
    path("hub/cases/<str:public_id>/<slug:act>/draft/", hub.draft, name="hub-draft"),
    path("hub/credits/", hub.credits, name="hub-credits"),
    path("dash/resolution-center/", dash.case_list, name="dash-cases"),
    path("dash/resolution-center/cases.csv", dash.case_list_csv, name="dash-cases-csv"),
    path("dash/resolution-center/cases/<str:public_id>/", dash.case, name="dash-case"),
    path("dash/resolution-center/cases/<str:public_id>/live/", dash.live, name="dash-live"),
    path(
        "dash/resolution-center/cases/<str:public_id>/export/",
        exports.for_creator,
        name="dash-export",
    ),
    path("dash/resolution-center/cases/<str:public_id>/<slug:act>/", dash.act, name="dash-act"),
    path(
        "dash/resolution-center/cases/<str:public_id>/<slug:act>/draft/",
        dash.draft,
        name="dash-draft",
    ),
    path("dash/resolution-center/auto-respond/", auto_respond.rules, name="dash-rules"),
    path("dash/resolution-center/auto-respond/new/", auto_respond.rule_new, name="dash-rule-new"),
    path(
        "dash/resolution-center/auto-respond/history/",
        auto_respond.rule_history,
        name="dash-rule-history",
    ),
    path("dash/resolution-center/auto-respond/<int:pk>/", auto_respond.rule_edit, name="dash-rule"),
    path(
        "dash/resolution-center/auto-respond/<int:pk>/<slug:act>/",
        auto_respond.rule_act,
        name="dash-rule-act",
    ),
    path("hub/notices/", inbox.hub_notices, name="hub-notices"),
    path("hub/notices/read/", inbox.hub_read, name="hub-notices-read"),
    path("dash/resolution-center/notices/", inbox.dash_notices, name="dash-notices"),
    path("dash/resolution-center/notices/read/", inbox.dash_read, name="dash-notices-read"),
    path("account/", account.settings_page, name="account"),
    path("language/", account.choose_language, name="language"),
    path("account/notifications/", account.mail_page, name="account-mail"),
    path("account/unsubscribe/<str:token>/", account.unsubscribe, name="account-unsubscribe"),
    path("dash/resolution-center/replies/", replies.replies, name="dash-replies"),
    path("dash/resolution-center/replies/new/", replies.reply_new, name="dash-reply-new"),
    path("dash/resolution-center/replies/<int:pk>/", replies.reply_edit, name="dash-reply"),
    path(
        "dash/resolution-center/replies/<int:pk>/remove/",
        replies.reply_remove,
        name="dash-reply-remove",
    ),
    path("dash/resolution-center/insights/", insights.insights, name="dash-insights"),
    path("dash/resolution-center/insights.csv", insights.insights_csv, name="dash-insights-csv"),
    path("uploads/", files.upload, name="uploads"),
    path("files/<str:public_id>/", files.download, name="attachment"),
    path("files/<str:public_id>/<str:link>/", files.fetch, name="attachment-bytes"),
]

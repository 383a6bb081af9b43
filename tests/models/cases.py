"""Nautobot's own test cases, without those that would only be skipped for models like ours."""

from nautobot.apps.testing import ViewTestCases


class FoundPages(
    ViewTestCases.GetObjectViewTestCase,
    ViewTestCases.GetObjectChangelogViewTestCase,
    ViewTestCases.GetObjectNotesViewTestCase,
    ViewTestCases.DeleteObjectViewTestCase,
    ViewTestCases.ListObjectsViewTestCase,
    ViewTestCases.BulkEditObjectsViewTestCase,
    ViewTestCases.BulkDeleteObjectsViewTestCase,
):
    """Pages of a model whose objects nobody makes by hand."""

    __test__ = False
    test_filter_form_fields_are_working = None  # runs in Nautobot's own suite only
    test_model_properties_as_table_columns_are_not_orderable = None  # likewise
    test_list_view_app_banner = None  # needs Nautobot's example App
    test_table_with_indentation_is_removed_on_filter_or_sort = None  # for tree models


class Pages(FoundPages, ViewTestCases.CreateObjectViewTestCase, ViewTestCases.EditObjectViewTestCase):
    """Pages of a model without a name field."""

    __test__ = False


class NamedPages(Pages, ViewTestCases.BulkRenameObjectsViewTestCase):
    """Pages of a model with a name field."""

    __test__ = False

"""Nautobot's own test cases, less those that only skip themselves for models such as ours."""

from nautobot.apps.testing import ViewTestCases


class Pages(
    ViewTestCases.GetObjectViewTestCase,
    ViewTestCases.GetObjectChangelogViewTestCase,
    ViewTestCases.GetObjectNotesViewTestCase,
    ViewTestCases.CreateObjectViewTestCase,
    ViewTestCases.EditObjectViewTestCase,
    ViewTestCases.DeleteObjectViewTestCase,
    ViewTestCases.ListObjectsViewTestCase,
    ViewTestCases.BulkEditObjectsViewTestCase,
    ViewTestCases.BulkDeleteObjectsViewTestCase,
):
    """The pages of a model without a name."""

    __test__ = False
    test_filter_form_fields_are_working = None  # runs in Nautobot's own suite only
    test_model_properties_as_table_columns_are_not_orderable = None  # likewise
    test_list_view_app_banner = None  # wants Nautobot's example App
    test_table_with_indentation_is_removed_on_filter_or_sort = None  # for trees


class NamedPages(Pages, ViewTestCases.BulkRenameObjectsViewTestCase):
    """The pages of a model with a name."""

    __test__ = False

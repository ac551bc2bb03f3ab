"""Parts of widgets: choosers, boxes, panels."""
